/*
 * forward: a question that is not about our names goes to the container's name servers, and their answer back as it is.
 * Each try has a socket (a port) and an id of its own, both random, so that nobody can answer in a server's place. The
 * next server is asked when one fails or takes long; whoever answers first wins.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <arpa/inet.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "lib/times.h"
#include "lib/util.h"
#include "netd/dns/dns.h"

#define FORWARDS_MAX   512 /* of a container */
#define FORWARDS_TOTAL 4096
#define NEXT_MS	       1500 /* until the next server is asked as well */
#define LAST_MS	       4000 /* for the last one */

struct
try {
	struct forward *forward;
	uint16_t id;
	int fd; /* UDP */
	struct event *readable;
	struct bufferevent *stream; /* TCP */
};

struct forward {
	TAILQ_ENTRY(forward) next;
	struct served *served;
	struct packet_query q; /* bytes are its own */
	bool tcp;
	struct name_servers servers;
	size_t asked, failed;
	struct try tries[NAMES_SERVERS_MAX];
	struct event *timer;
	uint8_t *refusal; /* what a server said that could not answer */
	size_t refusal_len;
	forward_done done;
	void *arg;
};

static void ask_next(struct forward *f);

static uint16_t random_id(void)
{
	uint16_t id;

	if (getrandom(&id, sizeof id, 0) != sizeof id)
		abort();
	return id;
}

/* ---- the end ---- */

static void end_try(struct try *t)
{
	if (t->readable)
		event_free(STEAL(t->readable));
	fd_close(&t->fd);
	if (t->stream)
		bufferevent_free(STEAL(t->stream));
}

static void forward_free(struct forward *f)
{
	for (size_t i = 0; i < f->asked; i++)
		end_try(&f->tries[i]);
	TAILQ_REMOVE(&f->served->forwards, f, next);
	f->served->nforwards--;
	f->served->dns->nforwards--;
	event_free(f->timer);
	free((void *)(uintptr_t)f->q.bytes);
	free(f->refusal);
	free(f);
}

static void finish(struct forward *f, uint8_t *bytes, size_t len)
{
	const forward_done done = f->done;
	void *arg = f->arg;

	packet_set_id(bytes, packet_id(f->q.bytes));
	/* Out of the list first: done() may give up all others. */
	uint8_t *answer = xmemdup(bytes, len);
	forward_free(f);
	done(arg, answer, len);
	free(answer);
}

static void fail(struct forward *f)
{
	uint8_t bytes[PACKET_UDP_PLAIN];
	struct packet_answer a;

	if (f->refusal) {
		finish(f, f->refusal, f->refusal_len);
		return;
	}
	packet_begin(&a, &f->q, bytes, sizeof bytes);
	packet_finish(&a, &f->q, RCODE_SERVER_FAILURE);
	finish(f, a.bytes, a.len);
}

static void try_failed(struct try *t)
{
	struct forward *f = t->forward;

	end_try(t);
	f->failed++;
	if (f->asked < f->servers.n)
		ask_next(f);
	else if (f->failed == f->asked)
		fail(f);
}

/* Bytes that a server has sent. false: they are no answer to the question. The try may be gone afterwards. */
static bool take_answer(struct try *t, uint8_t *bytes, size_t len)
{
	struct forward *f = t->forward;

	if (len < PACKET_HEADER || !packet_answers(&f->q, t->id, bytes, len))
		return false;
	const enum packet_rcode rcode = packet_rcode(bytes);
	if (rcode != RCODE_SERVER_FAILURE && rcode != RCODE_REFUSED) {
		finish(f, bytes, len);
		return true;
	}
	free(f->refusal);
	f->refusal = xmemdup(bytes, len);
	f->refusal_len = len;
	try_failed(t);
	return true;
}

/* ---- UDP ---- */

static void on_udp(evutil_socket_t fd, short what, void *arg)
{
	static uint8_t bytes[PACKET_MAX];
	struct try *t = arg;
	const ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);

	(void)what;
	if (n >= 0)
		take_answer(t, bytes, (size_t)n);
	else if (errno != EAGAIN && errno != EINTR)
		try_failed(t); /* nobody listens there */
}

static bool start_udp(struct try *t, const struct sockaddr *server, socklen_t size)
{
	struct forward *f = t->forward;
	AUTO_FREE uint8_t *question = xmemdup(f->q.bytes, f->q.len);

	packet_set_id(question, t->id);
	t->fd = socket(server->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (t->fd < 0 || connect(t->fd, server, size) || send(t->fd, question, f->q.len, 0) < 0)
		return false;
	t->readable = event_new(f->served->dns->daemon.base, t->fd, EV_READ | EV_PERSIST, on_udp, t);
	return t->readable && event_add(t->readable, NULL) == 0;
}

/* ---- TCP ---- */

static void on_tcp_read(struct bufferevent *stream, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(stream);
	struct try *t = arg;
	uint16_t head;

	if (evbuffer_copyout(in, &head, sizeof head) != sizeof head ||
	    evbuffer_get_length(in) < sizeof head + ntohs(head))
		return;
	evbuffer_drain(in, sizeof head);
	if (!take_answer(t, evbuffer_pullup(in, ntohs(head)), ntohs(head)))
		try_failed(t);
}

static void on_tcp_event(struct bufferevent *stream, short what, void *arg)
{
	(void)stream;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		try_failed(arg);
}

static bool start_tcp(struct try *t, const struct sockaddr *server, socklen_t size)
{
	struct forward *f = t->forward;
	const uint16_t head = htons((uint16_t)f->q.len);
	AUTO_FREE uint8_t *question = xmemdup(f->q.bytes, f->q.len);

	packet_set_id(question, t->id);
	t->stream = bufferevent_socket_new(f->served->dns->daemon.base, -1, BEV_OPT_CLOSE_ON_FREE);
	/* The callbacks come with the connection: connect() itself may fail at once, and is answered here. */
	if (bufferevent_socket_connect(t->stream, server, (int)size))
		return false;
	bufferevent_setcb(t->stream, on_tcp_read, NULL, on_tcp_event, t);
	bufferevent_write(t->stream, &head, sizeof head);
	bufferevent_write(t->stream, question, f->q.len);
	bufferevent_setwatermark(t->stream, EV_READ, 0, 2 + PACKET_MAX);
	bufferevent_enable(t->stream, EV_READ | EV_WRITE);
	return true;
}

/* ---- server by server ---- */

static void ask_next(struct forward *f)
{
	while (f->asked < f->servers.n) {
		struct try *t = &f->tries[f->asked];
		const struct sockaddr *server = &f->servers.list[f->asked].any;
		const socklen_t size =
			server->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);

		*t = (struct try){.forward = f, .id = random_id(), .fd = -1};
		f->asked++;
		if (f->tcp ? start_tcp(t, server, size) : start_udp(t, server, size)) {
			const unsigned ms = f->asked < f->servers.n ? NEXT_MS : LAST_MS;
			const struct timeval tv = timeval_ms(ms);
			event_add(f->timer, &tv);
			return;
		}
		end_try(t);
		f->failed++;
	}
	if (f->failed == f->asked)
		event_active(f->timer, EV_TIMEOUT, 0); /* not from within forward_start() */
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct forward *f = arg;

	(void)fd;
	(void)what;
	if (f->asked < f->servers.n)
		ask_next(f);
	else
		fail(f);
}

bool forward_start(struct served *s, const struct packet_query *q, bool tcp, forward_done done, void *arg)
{
	if (s->nforwards >= FORWARDS_MAX || s->dns->nforwards >= FORWARDS_TOTAL)
		return false;
	struct forward *f = XNEW(struct forward);
	f->served = s;
	f->q = *q;
	f->q.bytes = xmemdup(q->bytes, q->len);
	f->tcp = tcp;
	f->servers = s->view.own.n ? s->view.own : s->dns->upstream;
	f->timer = evtimer_new(s->dns->daemon.base, on_timer, f);
	f->done = done;
	f->arg = arg;
	s->nforwards++;
	s->dns->nforwards++;
	TAILQ_INSERT_TAIL(&s->forwards, f, next);
	ask_next(f);
	return true;
}

void forward_cancel(struct served *s, const void *arg)
{
	struct forward *f, *next;

	for (f = TAILQ_FIRST(&s->forwards); f; f = next) {
		next = TAILQ_NEXT(f, next);
		if (arg && f->arg != arg)
			continue;
		const forward_done done = f->done;
		void *waiting = f->arg;
		forward_free(f);
		done(waiting, NULL, 0);
	}
}
