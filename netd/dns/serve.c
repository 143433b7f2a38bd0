#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "netd/dns/dns.h"

struct served *serve_find(struct dns *d, const char *container)
{
	struct served *s;

	TAILQ_FOREACH(s, &d->served, next)
		if (str_eq(s->container, container))
			return s;
	return NULL;
}

/* Questions that came by the old sockets cannot be answered by others. */
static void close_sockets(struct served *s)
{
	forward_cancel(s, NULL);
	tcp_stop(s);
	if (s->on_udp)
		event_free(STEAL(s->on_udp));
	if (s->on_tcp)
		event_free(STEAL(s->on_tcp));
	fd_close(&s->udp);
	fd_close(&s->tcp);
}

static struct served *add(struct dns *d, const char *container)
{
	struct served *s = XNEW(struct served);

	s->dns = d;
	s->udp = s->tcp = -1;
	snprintf(s->container, sizeof s->container, "%s", container);
	TAILQ_INIT(&s->forwards);
	TAILQ_INIT(&s->connections);
	TAILQ_INSERT_TAIL(&d->served, s, next);
	return s;
}

struct served *serve_set(struct dns *d, const char *container, const json_t *doc, int take_udp, int take_tcp)
{
	AUTO_CLOSE int udp = take_udp;
	AUTO_CLOSE int tcp = take_tcp;
	struct served *s = serve_find(d, container);

	if (!s)
		s = add(d, container);
	names_leave(d->names, &s->view);
	names_enter(d->names, &s->view, doc);
	if (udp >= 0 && tcp >= 0) {
		close_sockets(s);
		s->udp = STEAL_FD(udp);
		s->tcp = STEAL_FD(tcp);
		udp_start(s);
		tcp_start(s);
	}
	return s;
}

void serve_forget(struct served *s)
{
	close_sockets(s);
	names_leave(s->dns->names, &s->view);
	TAILQ_REMOVE(&s->dns->served, s, next);
	free(s);
}
