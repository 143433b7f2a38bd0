/* loop: from the start of the runtime to the last byte for the last client. */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/fault.h"
#include "lib/util.h"
#include "runtimed/shim/shim.h"

#define LINGER_MS 60000 /* a client that takes nothing for so long after the end is left */

/* ---- the end ---- */

static void init_ended(struct shim *s, int status)
{
	FAULT(exit_seen);
	begin_show(s);
	s->exited = true;
	s->exit = (struct wire_exit){.magic = WIRE_MAGIC, .time = now_ns()};
	s->exit.sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	s->exit.code = s->exit.sig ? 128 + s->exit.sig : WEXITSTATUS(status);
	/* What is in the pipes is all that will come. It is read whether or not clients keep up: they get it from
	 * memory. */
	for (enum stream i = 0; i < STREAMS; i++) {
		while (s->out[i] >= 0 && output_read(s, i))
			;
		if (s->out[i] >= 0)
			output_close(s, i);
	}
	writer_finish(s);
	input_close(s);
	if (s->args.exit_file >= 0)
		(void)!write(s->args.exit_file, &s->exit, sizeof s->exit);
	FAULT(exit_written);
	s->exit_sent = true;
	control_exited(s);
}

static void reap(struct shim *s)
{
	struct signalfd_siginfo info[8];
	int status;
	pid_t pid;

	while (read(s->signals, info, sizeof info) > 0)
		;
	/* Until the runtime has ended only it is waited for: its child's pid is not known before. */
	if (s->starter) {
		if (waitpid(s->starter, &status, WNOHANG) != s->starter)
			return;
		begin_ended(s, status);
	}
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == s->init && !s->exited)
			init_ended(s, status);
}

/* ---- the loop ---- */

struct polls {
	struct pollfd *v;
	size_t n, capacity;
};

static size_t watch(struct polls *p, int fd, int events)
{
	if (p->n == p->capacity) {
		p->capacity = p->capacity ? p->capacity * 2 : 16;
		p->v = xrealloc(p->v, p->capacity, sizeof *p->v);
	}
	p->v[p->n] = (struct pollfd){.fd = fd, .events = (short)events};
	return p->n++;
}

static bool clients_pending(const struct shim *s)
{
	for (const struct client *c = s->clients; c; c = c->next)
		if (client_pending(c))
			return true;
	return false;
}

/* While a client is given what was logged nothing more is: it catches up, and the files keep their numbers. */
static bool log_read(const struct shim *s)
{
	for (const struct client *c = s->clients; c; c = c->next)
		if (c->log || c->log_due)
			return true;
	return false;
}

static bool replay(struct shim *s, struct client *c)
{
	if (!client_replay_more(c))
		return false;
	/* The beginnings of lines that are not in the log yet. */
	for (enum stream i = 0; !c->log && i < STREAMS; i++)
		if (s->partial[i].have)
			client_send(c, i, s->partial[i].bytes, s->partial[i].have);
	return true;
}

/* It wanted what was logged so far, if anything, and has it. */
static bool has_all(const struct client *c)
{
	return !c->log && !c->log_due && !(c->flags & WIRE_STREAM) && !client_pending(c);
}

static void serve_clients(struct shim *s, const struct pollfd *p)
{
	struct client **at = &s->clients;
	struct client *c;

	for (size_t i = 0; (c = *at); i++) {
		bool stay = true;
		if (p[i].revents & (POLLOUT | POLLERR | POLLHUP))
			stay = client_flush(c) && !(p[i].revents & (POLLERR | POLLHUP) && !(p[i].revents & POLLIN));
		if (stay && input_wanted(s, c) && (c->early_from < c->early_len || p[i].revents & (POLLIN | POLLHUP)))
			stay = input_client(s, c);
		if (stay && p[i].revents & (POLLERR | POLLHUP) && !input_wanted(s, c))
			stay = false;
		if (stay && c->log && !client_pending(c))
			stay = replay(s, c);
		if (stay && !has_all(c)) {
			at = &c->next;
			continue;
		}
		input_client_end(s, c);
		*at = c->next;
		client_free(c);
	}
}

static void logger_serve(struct shim *s, int events)
{
	if (events & (POLLERR | POLLHUP)) {
		shim_logger_lose(&s->logger);
		control_tell(s, (struct wire_head){.type = WIRE_LOGGER_LOST}, NULL, 0, NULL, 0);
		return;
	}
	output_logger(s);
}

/* Clients may join while the others are served: they come first in the list and have no poll entry yet. */
static void step(struct shim *s, struct polls *p)
{
	bool wait = clients_pending(s) || shim_logger_full(&s->logger) || log_read(s), busy = false;
	size_t nclients = 0;

	p->n = 0;
	size_t control = watch(p, s->control, POLLIN);
	size_t signals = watch(p, s->signals, POLLIN);
	size_t listening = watch(p, s->args.listen, POLLIN);
	size_t starter = watch(p, s->starter_sock, POLLIN);
	/* Before the start has succeeded what stands in the pipes may be the runtime's complaint, told otherwise. */
	wait = wait || !s->started;
	size_t out = watch(p, wait ? -1 : s->out[0], POLLIN);
	size_t err = watch(p, wait ? -1 : s->out[1], POLLIN);
	watch(p, s->input.from < s->input.to ? s->in : -1, POLLOUT);
	size_t logger = watch(p, s->logger.fd, s->logger.from < s->logger.to ? POLLOUT : 0);
	bool more = s->writer.lines.from < s->writer.lines.to;
	size_t writer = watch(p, s->writer.lines.fd, POLLIN | (more ? POLLOUT : 0));
	size_t first = p->n;
	for (struct client *c = s->clients; c; c = c->next, nclients++) {
		bool want = input_wanted(s, c);
		busy = busy || (want && c->early_from < c->early_len) || (c->log && !client_pending(c)) || has_all(c);
		watch(p, c->fd, (want ? POLLIN : 0) | (client_pending(c) ? POLLOUT : 0));
	}
	busy = compression_step(&s->log) || busy;
	int n = poll(p->v, p->n, busy ? 0 : s->exit_sent ? LINGER_MS : -1);
	if (n < 0)
		return;
	if (n == 0 && s->exit_sent && !busy)
		_exit(0); /* nothing is buffered, and what sanitizers do at an exit is not on its list of calls */
	if (nclients)
		serve_clients(s, p->v + first);
	/* What runtimed asked before a client typed, a resize, counts when the container reads it. */
	if (p->v[control].revents || s->input.from < s->input.to)
		while (s->control >= 0 && control_read(s))
			;
	if (s->input.from < s->input.to)
		input_write(s);
	if (p->v[logger].revents)
		logger_serve(s, p->v[logger].revents);
	if (p->v[writer].revents && s->writer.lines.fd >= 0)
		writer_serve(s);
	wait = log_read(s);
	if (s->out[0] >= 0 && p->v[out].revents && !wait)
		output_read(s, STREAM_OUT);
	if (s->out[1] >= 0 && p->v[err].revents && !wait)
		output_read(s, STREAM_ERR);
	if (p->v[starter].revents && s->starter_sock >= 0)
		begin_starter(s);
	if (p->v[signals].revents)
		reap(s);
	if (p->v[listening].revents)
		control_accept(s);
}

static bool finished(const struct shim *s)
{
	if (!s->exit_sent || (s->logger.fd >= 0 && s->logger.from < s->logger.to))
		return false;
	for (const struct client *c = s->clients; c; c = c->next)
		if (client_pending(c) || c->log)
			return false;
	return true;
}

void loop_run(struct shim *s)
{
	struct polls p = {0};

	fcntl(s->control, F_SETFL, O_NONBLOCK);
	while (!finished(s))
		step(s, &p);
	/* The next run of the container may rotate the same files. */
	compression_stop(&s->log);
	while (s->clients) {
		struct client *c = s->clients;
		s->clients = c->next;
		client_free(c);
	}
	free(p.v);
}
