#include "imaged/fetch/multi.h"

#include <errno.h>

#include "lib/times.h"
#include "lib/util.h"

struct multi {
	struct event_base *base;
	CURLM *curl;
	struct event *timer;
};

/* What waits for one easy handle's end (CURLOPT_PRIVATE). */
struct ending {
	void (*fn)(void *arg, CURLcode result);
	void *arg;
};

static void collect_ended(struct multi *m)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(m->curl, &left))) {
		struct ending *x = NULL;
		CURL *easy = message->easy_handle;
		CURLcode result = message->data.result;
		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&x);
		struct ending ending = *x;
		multi_remove(m, easy);
		ending.fn(ending.arg, result);
	}
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct multi *m = arg;
	int running, how = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);

	curl_multi_socket_action(m->curl, fd, how, &running);
	collect_ended(m);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct multi *m = arg;
	int running;

	(void)fd;
	(void)what;
	curl_multi_socket_action(m->curl, CURL_SOCKET_TIMEOUT, 0, &running);
	collect_ended(m);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *event)
{
	struct multi *m = arg;
	short events = EV_PERSIST;

	(void)easy;
	if (event)
		event_free(event);
	if (what == CURL_POLL_REMOVE) {
		curl_multi_assign(m->curl, fd, NULL);
		return 0;
	}
	if (what & CURL_POLL_IN)
		events |= EV_READ;
	if (what & CURL_POLL_OUT)
		events |= EV_WRITE;
	struct event *made = event_new(m->base, fd, events, on_socket, m);
	if (!made || event_add(made, NULL) < 0)
		return -1;
	curl_multi_assign(m->curl, fd, made);
	return 0;
}

static int watch_time(CURLM *curl, long ms, void *arg)
{
	struct multi *m = arg;
	const struct timeval after = timeval_ms(ms < 0 ? 0 : (uint64_t)ms);

	(void)curl;
	if (ms < 0)
		event_del(m->timer);
	else
		event_add(m->timer, &after);
	return 0;
}

int multi_new(struct event_base *base, struct multi **out, struct err *e)
{
	struct multi *m = XNEW(struct multi);

	m->base = base;
	m->curl = curl_multi_init();
	m->timer = evtimer_new(base, on_timer, m);
	if (!m->curl || !m->timer) {
		multi_free(m);
		return err_set(e, -ENOMEM, "cannot prepare transfers");
	}
	curl_multi_setopt(m->curl, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(m->curl, CURLMOPT_SOCKETDATA, m);
	curl_multi_setopt(m->curl, CURLMOPT_TIMERFUNCTION, watch_time);
	curl_multi_setopt(m->curl, CURLMOPT_TIMERDATA, m);
	*out = m;
	return 0;
}

void multi_free(struct multi *m)
{
	if (!m)
		return;
	if (m->curl)
		curl_multi_cleanup(m->curl);
	if (m->timer)
		event_free(m->timer);
	free(m);
}

int multi_add(struct multi *m, CURL *easy, void (*ended)(void *arg, CURLcode result), void *arg, struct err *e)
{
	struct ending *x = XNEW(struct ending);

	*x = (struct ending){ended, arg};
	curl_easy_setopt(easy, CURLOPT_PRIVATE, x);
	if (curl_multi_add_handle(m->curl, easy) == CURLM_OK)
		return 0;
	free(x);
	return err_set(e, -EIO, "cannot begin a transfer");
}

void multi_remove(struct multi *m, CURL *easy)
{
	struct ending *x = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&x);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, NULL);
	curl_multi_remove_handle(m->curl, easy);
	free(x);
}
