/*
 * top: GET /containers/{id}/top. Reading another process's command line can wait for as long as that process holds its
 * memory's lock, so a child reads, and a container that hangs costs one request and not the daemon.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "lib/fd.h"
#include "runtimed/processes.h"
#include "runtimed/runtimed.h"

#define PATIENCE_S 10
#define ANSWER_MAX (16u << 20)

struct top {
	struct ipc_request *req;
	struct event *readable, *timeout;
	pid_t pid;
	int pipe;
	char *text;
	size_t len;
};

/* `hangs`: the child may not end, and is not waited for. */
static void finish(struct top *t, const struct err *e, bool hangs)
{
	struct ipc_request *req = t->req;

	ipc_request_on_cancel(req, NULL, NULL);
	kill(t->pid, SIGKILL);
	waitpid(t->pid, NULL, hangs ? WNOHANG : 0);
	event_free(t->readable);
	event_free(t->timeout);
	fd_close(&t->pipe);
	if (e)
		ipc_reply_error(req, e);
	else
		ipc_reply_text(req, 200, t->text, t->len);
	free(t->text);
	free(t);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct top *t = arg;
	struct err e;

	(void)what;
	t->text = xrealloc(t->text, t->len + 65536, 1);
	ssize_t n = read(fd, t->text + t->len, 65536);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && (t->len += (size_t)n) < ANSWER_MAX)
		return;
	if (n == 0 && t->len) {
		finish(t, NULL, false);
		return;
	}
	err_set(&e, -EIO, "the container's processes cannot be read");
	finish(t, &e, false);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct err e;

	(void)fd;
	(void)what;
	err_http(&e, 500, "the kernel does not tell about the container's processes: one of them hangs");
	finish(arg, &e, true);
}

static void on_cancel(struct ipc_request *req, void *arg)
{
	struct err e;

	(void)req;
	err_set(&e, -ECANCELED, "the client has gone");
	finish(arg, &e, false);
}

static int by_number(const void *a, const void *b)
{
	const pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return (x > y) - (x < y);
}

static _Noreturn void child(const struct launch_run *run, const struct columns *columns, pid_t *pids, size_t n, int out)
{
	json_t *rows = json_array();

	qsort(pids, n, sizeof *pids, by_number);
	for (size_t i = 0; i < n; i++) {
		int dir = launch_process(run, pids[i]);
		json_t *row = dir < 0 ? NULL : process_row(columns, pids[i], dir);
		if (row)
			json_array_append_new(rows, row);
		fd_close(&dir);
	}
	json_t *answer = json_pack("{s:o s:o}", "Titles", columns_titles(columns), "Processes", rows);
	char *text = json_dumps(answer, JSON_COMPACT);
	_exit(text && fd_write_all(out, text, strlen(text), NULL) == 0 ? 0 : 1);
}

static void await(struct ipc_request *req, struct runtimed *rt, pid_t pid, int take_pipe)
{
	static const struct timeval patience = {.tv_sec = PATIENCE_S};
	struct top *t = XNEW(struct top);

	t->req = req;
	t->pid = pid;
	t->pipe = take_pipe;
	fd_set_nonblock(t->pipe, NULL);
	t->readable = event_new(rt->d.base, t->pipe, EV_READ | EV_PERSIST, on_readable, t);
	t->timeout = evtimer_new(rt->d.base, on_timeout, t);
	event_add(t->readable, NULL);
	event_add(t->timeout, &patience);
	ipc_request_on_cancel(req, on_cancel, t);
}

static int begin(struct container *c, struct ipc_request *req, const struct columns *columns, struct err *e)
{
	AUTO_FREE pid_t *pids = NULL;
	int p[2];
	ssize_t n = launch_pids(c->run, &pids, e);

	if (n < 0)
		return (int)n;
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "pipe");
	pid_t pid = fork();
	if (pid == 0)
		child(c->run, columns, pids, (size_t)n, p[1]);
	close(p[1]);
	if (pid < 0) {
		close(p[0]);
		return err_sys(e, -errno, "fork");
	}
	await(req, c->rt, pid, p[0]);
	return 0;
}

void on_container_top(struct ipc_request *req, struct container_top *m, struct runtimed *rt)
{
	struct container *c = request_container(rt, req, m->id);
	struct columns columns;
	struct err e = {0};

	if (!c)
		return;
	if (c->state.status == CT_RESTARTING) {
		ipc_fail(req, 409, "container %s is restarting, wait until the container is running", c->id);
		return;
	}
	if (!container_alive(c) || !c->run) {
		ipc_fail(req, 409, "container %s is not running", c->id);
		return;
	}
	int rc = columns_parse(m->ps_args && *m->ps_args ? m->ps_args : "-ef", &columns, &e);
	if (rc == 0) {
		rc = begin(c, req, &columns, &e);
		columns_clean(&columns);
	}
	if (rc < 0)
		ipc_reply_error(req, &e);
}
