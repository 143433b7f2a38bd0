/* tcp: questions by TCP (RFC 7766): two bytes of length in front of each message, several on one connection. */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <sys/socket.h>

#include "lib/log.h"
#include "lib/util.h"
#include "netd/dns/answer.h"
#include "netd/dns/dns.h"

#define CONNECTIONS_MAX	  16   /* of a container; more wait in the socket's queue */
#define CONNECTIONS_TOTAL 2048 /* of all; one more is closed at once */
#define WAITING_MAX	  16   /* questions on one connection that are not answered yet */
#define IDLE_SECONDS	  10

struct connection {
	TAILQ_ENTRY(connection) next;
	struct served *served;
	struct bufferevent *stream;
	unsigned waiting;
	bool reading; /* questions are being taken from it just now */
	bool ended;   /* no more of them will come */
};

static void take_questions(struct connection *c);

static void close_connection(struct connection *c)
{
	struct served *s = c->served;

	forward_cancel(s, c);
	TAILQ_REMOVE(&s->connections, c, next);
	s->dns->nconnections--;
	if (s->nconnections-- == CONNECTIONS_MAX && s->on_tcp)
		event_add(s->on_tcp, NULL);
	bufferevent_free(c->stream);
	free(c);
}

static void send_answer(struct connection *c, const uint8_t *bytes, size_t len)
{
	const uint16_t head = htons((uint16_t)len);

	bufferevent_write(c->stream, &head, sizeof head);
	bufferevent_write(c->stream, bytes, len);
}

static void on_forwarded(void *arg, const uint8_t *bytes, size_t len)
{
	struct connection *c = arg;

	c->waiting--;
	if (!bytes)
		return;
	send_answer(c, bytes, len);
	if (!c->reading)
		take_questions(c);
}

static void take_question(struct connection *c, const uint8_t *bytes, size_t len)
{
	static uint8_t room[PACKET_MAX];
	struct served *s = c->served;
	struct packet_query q;
	struct packet_answer out;
	const enum answer_fate fate = answer(s->dns->names, &s->view, bytes, len, true, &q, &out, room, sizeof room);

	if (fate == ANSWER_NONE)
		return;
	if (fate == ANSWER_FORWARD) {
		c->waiting++;
		if (forward_start(s, &q, true, on_forwarded, c))
			return;
		c->waiting--;
		packet_finish(&out, &q, RCODE_SERVER_FAILURE);
	}
	send_answer(c, out.bytes, out.len);
}

static void take_questions(struct connection *c)
{
	struct evbuffer *in = bufferevent_get_input(c->stream);
	uint16_t head;

	c->reading = true;
	while (c->waiting < WAITING_MAX && evbuffer_copyout(in, &head, sizeof head) == sizeof head &&
	       evbuffer_get_length(in) >= sizeof head + ntohs(head)) {
		const size_t len = ntohs(head);

		evbuffer_drain(in, sizeof head);
		take_question(c, evbuffer_pullup(in, (ev_ssize_t)len), len);
		evbuffer_drain(in, len);
	}
	c->reading = false;
}

static void on_read(struct bufferevent *stream, void *arg)
{
	(void)stream;
	take_questions(arg);
}

/* The last answer has gone to who has ended its side. */
static void on_written(struct bufferevent *stream, void *arg)
{
	struct connection *c = arg;

	if (c->ended && !c->waiting && evbuffer_get_length(bufferevent_get_output(stream)) == 0)
		close_connection(c);
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
	struct connection *c = arg;

	if (what & BEV_EVENT_EOF && what & BEV_EVENT_READING) {
		c->ended = true;
		on_written(stream, c);
		return;
	}

	/* Silence is no offence while it is we who owe an answer. */
	if (what & BEV_EVENT_TIMEOUT && what & BEV_EVENT_READING && c->waiting) {
		bufferevent_enable(stream, EV_READ);
		return;
	}
	close_connection(c);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval idle = {.tv_sec = IDLE_SECONDS};
	struct served *s = arg;

	(void)what;
	AUTO_CLOSE int stream = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (stream < 0 || s->dns->nconnections >= CONNECTIONS_TOTAL)
		return;
	struct connection *c = XNEW(struct connection);
	c->served = s;
	c->stream = bufferevent_socket_new(s->dns->daemon.base, STEAL_FD(stream), BEV_OPT_CLOSE_ON_FREE);
	TAILQ_INSERT_TAIL(&s->connections, c, next);
	s->dns->nconnections++;
	if (++s->nconnections == CONNECTIONS_MAX)
		event_del(s->on_tcp);
	bufferevent_setcb(c->stream, on_read, on_written, on_event, c);
	/* What does not fit stays in the socket: one whole message at least does. */
	bufferevent_setwatermark(c->stream, EV_READ, 0, 2 + PACKET_MAX);
	bufferevent_set_timeouts(c->stream, &idle, &idle);
	bufferevent_enable(c->stream, EV_READ | EV_WRITE);
}

void tcp_start(struct served *s)
{
	s->on_tcp = event_new(s->dns->daemon.base, s->tcp, EV_READ | EV_PERSIST, on_acceptable, s);
	event_add(s->on_tcp, NULL);
}

void tcp_stop(struct served *s)
{
	struct connection *c;

	while ((c = TAILQ_FIRST(&s->connections)))
		close_connection(c);
}
