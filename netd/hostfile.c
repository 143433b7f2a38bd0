#include "netd/hostfile.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/util.h"
#include "netd/names.h"

struct hostfile {
	struct netd *d;
	int inotify;
	struct event *readable, *soon;
};

/* What the file itself may be a link to. A directory that was not there at the start is not in netd's root either. */
static const char *const directories[] = {"/etc", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager"};

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
	struct hostfile *h = arg;

	(void)fd;
	(void)what;
	names_upstream(h->d);
}

/* One change is several events: looked at once, when they have come. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval soon = {0, 20000};
	char buf[sizeof(struct inotify_event) + NAME_MAX + 1]
		__attribute__((aligned(__alignof__(struct inotify_event))));
	struct hostfile *h = arg;
	bool ours = false;

	(void)what;
	for (ssize_t n; (n = read(fd, buf, sizeof buf)) > 0;)
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *event = (const void *)(buf + at);

			ours = ours || (event->len && str_starts(event->name, "resolv.conf")) ||
			       (event->len && str_starts(event->name, "stub-resolv.conf"));
			at += (ssize_t)(sizeof *event + event->len);
		}
	if (ours && !event_pending(h->soon, EV_TIMEOUT, NULL))
		event_add(h->soon, &soon);
}

struct hostfile *hostfile_new(struct netd *d)
{
	struct hostfile *h = XNEW(struct hostfile);

	h->d = d;
	h->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (h->inotify < 0) {
		log_warn("changes of the host's resolv.conf are not noticed: %m");
		return h;
	}
	for (size_t i = 0; i < ARRAY_LEN(directories); i++)
		inotify_add_watch(h->inotify, directories[i], IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE);
	h->readable = event_new(d->daemon.base, h->inotify, EV_READ | EV_PERSIST, on_readable, h);
	h->soon = evtimer_new(d->daemon.base, on_soon, h);
	event_add(h->readable, NULL);
	return h;
}

void hostfile_free(struct hostfile *h)
{
	if (!h)
		return;
	if (h->readable)
		event_free(h->readable);
	if (h->soon)
		event_free(h->soon);
	fd_close(&h->inotify);
	free(h);
}
