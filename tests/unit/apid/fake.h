/*
 * A process with the front and an owner that plays runtimed: answers each operation in the simplest way that shows how
 * the front carries it. Serves until its control socket is closed.
 */
#ifndef TESTS_APID_FAKE_H
#define TESTS_APID_FAKE_H

#include <errno.h>
#include <arpa/inet.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "apid/apid.h"
#include "apid/listener.h"
#include "ipc/server.h"
#include "lib/config.h"
#include "lib/util.h"

static char fake_dir[64];
static pid_t fake_pid;
static struct sockaddr_in fake_tcp; /* the front's other address */

struct fake {
	struct event_base *base;
	struct ipc_request *stuck;
};

static int fake_allow(void *arg, struct ipc_request *req, struct err *e)
{
	(void)arg;
	(void)req;
	(void)e;
	return 0;
}

/* ---- the owner's handlers ---- */

static void on_container_list(struct ipc_request *req, struct container_list *m, struct fake *f)
{
	(void)f;
	ipc_reply_json(req, 200,
		       json_pack("[{s:b s:I s:O?}]", "all", m->all, "limit", (json_int_t)m->limit, "filters",
				 m->filters.json));
}

static void on_container_create(struct ipc_request *req, struct container_create *m, struct fake *f)
{
	(void)f;
	ipc_reply_json(req, 201, json_pack("{s:s s:O}", "Id", m->name ? m->name : "none", "body", m->body.json));
}

static void on_container_inspect(struct ipc_request *req, struct container_inspect *m, struct fake *f)
{
	(void)f;
	if (str_eq(m->id, "gone"))
		ipc_fail(req, 404, "No such container: %s", m->id);
	else
		ipc_reply_json(req, 200, json_pack("{s:s}", "Id", m->id));
}

static void on_container_start(struct ipc_request *req, struct container_start *m, struct fake *f)
{
	(void)f;
	if (str_eq(m->id, "die"))
		_exit(7);
	ipc_reply_json(req, 204, NULL);
}

/* Never answered. */
static void on_container_kill(struct ipc_request *req, struct container_kill *m, struct fake *f)
{
	(void)m;
	f->stuck = req;
}

static void fake_cancelled(struct ipc_request *req, void *arg)
{
	struct fake *f = arg;

	f->stuck = NULL;
	ipc_fail(req, 500, "cancelled");
}

/* Sends nothing but the head until the client goes. */
static void on_system_events(struct ipc_request *req, struct system_events *m, struct fake *f)
{
	(void)m;
	f->stuck = req;
	ipc_request_on_cancel(req, fake_cancelled, f);
	ipc_chunk(req, NULL, 0);
}

/* Is somebody following the events? */
static void on_container_prune(struct ipc_request *req, struct container_prune *m, struct fake *f)
{
	(void)m;
	ipc_reply_json(req, 200, json_pack("{s:b}", "followed", f->stuck != NULL));
}

/* ?tail=N: N chunks of 1000 bytes, as credit comes. */
struct fake_log {
	unsigned left;
};

static void fake_log_more(struct ipc_request *req, void *arg)
{
	struct fake_log *log = arg;
	char piece[1000];

	memset(piece, 'x', sizeof piece);
	while (log->left) {
		int r = ipc_chunk(req, piece, sizeof piece);
		if (r == -EAGAIN)
			return;
		log->left = r < 0 ? 0 : log->left - 1;
	}
	ipc_reply_done(req);
}

static void on_container_logs(struct ipc_request *req, struct container_logs *m, struct fake *f)
{
	struct fake_log *log = XNEW(struct fake_log);

	(void)f;
	log->left = m->tail ? (unsigned)atoi(m->tail) : 1;
	ipc_request_set_note(req, log, free);
	ipc_request_on_credit(req, fake_log_more, log);
	fake_log_more(req, log);
}

/* A pipe with 100,000 bytes, written by a process of its own. */
static void on_container_export(struct ipc_request *req, struct container_export *m, struct fake *f)
{
	int ends[2];

	(void)m;
	(void)f;
	if (pipe(ends) < 0)
		abort();
	if (fork() == 0) {
		char piece[1000];
		memset(piece, 'y', sizeof piece);
		for (int i = 0; i < 100; i++)
			fd_write_all(ends[1], piece, sizeof piece, NULL);
		_exit(0);
	}
	ipc_chunk_pipe(req, ends[0], "application/x-tar", NULL);
	close(ends[0]);
	close(ends[1]);
	ipc_reply_done(req);
}

/* Counts the bytes of an upload, in a process of its own that answers through its exit status: 1: as many as asked for.
 */
static void on_container_archive_put(struct ipc_request *req, struct container_archive_put *m, struct fake *f)
{
	char piece[65536];
	size_t total = 0;
	ssize_t n;

	(void)f;
	if (str_eq(m->path, "/refuse")) {
		ipc_fail(req, 403, "refused");
		return;
	}
	if (m->tar < 0) {
		ipc_reply_json(req, 200, json_pack("{s:i}", "bytes", -1));
		return;
	}
	/* The front lives in another process, so that this may block. */
	while ((n = read(m->tar, piece, sizeof piece)) > 0)
		total += (size_t)n;
	ipc_reply_json(req, 200, json_pack("{s:I}", "bytes", (json_int_t)total));
}

/* The socket does not block. */
static void fake_write(int fd, const char *data, size_t len)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return;
		if (n < 0)
			poll(&p, 1, -1);
		data += n < 0 ? 0 : n;
		len -= n < 0 ? 0 : (size_t)n;
	}
}

/* Greets, then sends back what comes, in capitals, in a process of its own. */
static void fake_echo(struct ipc_request *req, const void *early, size_t len, void *arg)
{
	int fd = dup(*(int *)arg);
	char buf[4096];

	if (fork() == 0) {
		/* Not the owner's channel, whose end others wait for. */
		dup2(fd, 3);
		fd = 3;
		close_range(4, ~0u, 0);
		struct pollfd p = {.fd = fd, .events = POLLIN};
		fake_write(fd, "hello ", 6);
		fake_write(fd, early, len);
		for (;;) {
			poll(&p, 1, -1);
			ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
			if (n <= 0)
				break;
			for (ssize_t i = 0; i < n; i++)
				if (buf[i] >= 'a' && buf[i] <= 'z')
					buf[i] = (char)(buf[i] - 32);
			fake_write(fd, buf, (size_t)n);
		}
		fake_write(fd, " bye", 4);
		_exit(0);
	}
	close(fd);
	ipc_reply_done(req);
}

static void on_container_attach(struct ipc_request *req, struct container_attach *m, struct fake *f)
{
	(void)f;
	ipc_hijack(req, "application/vnd.docker.multiplexed-stream", fake_echo, &m->client);
}

static void on_container_attach_ws(struct ipc_request *req, struct container_attach_ws *m, struct fake *f)
{
	(void)f;
	ipc_hijack(req, NULL, fake_echo, &m->client);
}

static const struct ipc_handler fake_handlers[] = {
	IPC_HANDLER(container_list, struct fake),    IPC_HANDLER(container_create, struct fake),
	IPC_HANDLER(container_inspect, struct fake), IPC_HANDLER(container_start, struct fake),
	IPC_HANDLER(container_kill, struct fake),    IPC_HANDLER(system_events, struct fake),
	IPC_HANDLER(container_prune, struct fake),   IPC_HANDLER(container_logs, struct fake),
	IPC_HANDLER(container_export, struct fake),  IPC_HANDLER(container_archive_put, struct fake),
	IPC_HANDLER(container_attach, struct fake),  IPC_HANDLER(container_attach_ws, struct fake),
};

/* ---- the two processes ---- */

static int fake_listen(const char *name, int type)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof sun.sun_path, "%s/%s", fake_dir, name);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof sun) < 0 || listen(fd, 1024) < 0)
		abort();
	return fd;
}

static int fake_listen_tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t n = sizeof fake_tcp;

	fake_tcp = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (fd < 0 || bind(fd, (struct sockaddr *)&fake_tcp, sizeof fake_tcp) < 0 || listen(fd, 16) < 0 ||
	    getsockname(fd, (struct sockaddr *)&fake_tcp, &n) < 0)
		abort();
	return fd;
}

static void fake_run_owner(int listen_fd, uid_t ids_base)
{
	static const struct ipc_guard guard = {.allow = fake_allow};
	struct fake f = {.base = event_base_new()};
	struct ipc_server_config config = {
		.self = PROC_runtimed,
		.listen_fd = listen_fd,
		.ids_base = ids_base,
		.handlers = fake_handlers,
		.nhandlers = ARRAY_LEN(fake_handlers),
		.daemon = &f,
		.guard = &guard,
		.proc_fd = -1,
	};
	struct ipc_server *server;
	struct err e;

	signal(SIGCHLD, SIG_IGN);
	if (ipc_server_new(f.base, &config, &server, &e) < 0)
		abort();
	event_base_dispatch(f.base);
	_exit(0);
}

/* An owner that ends (?id=die) is started again, as the supervisor would. */
static void fake_keep_owner(int listen_fd, uid_t ids_base)
{
	for (;;) {
		pid_t pid = fork();
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			fake_run_owner(listen_fd, ids_base);
		}
		int status;
		waitpid(pid, &status, 0);
	}
}

static void fake_run_front(int http_fd, int tcp_fd, uid_t ids_base, const char *const *sets, size_t nsets)
{
	struct event_base *base = event_base_new();
	const struct config_source source = {.root = fake_dir, .run = fake_dir, .sets = sets, .nsets = nsets};
	struct config *config;
	struct err e;
	char path[128];

	signal(SIGPIPE, SIG_IGN);
	if (config_parse(&source, &config, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		abort();
	}
	config->ids_base = (uint32_t)ids_base;
	struct apid *a = apid_new(base, config);
	snprintf(path, sizeof path, "%s/runtimed", fake_dir);
	apid_add_peer(a, PROC_runtimed, path);
	if (listener_add(a, http_fd, 0, &e) < 0 || listener_add(a, tcp_fd, 0, &e) < 0)
		abort();
	listener_start_all(a);
	event_base_dispatch(base);
	_exit(0);
}

static pid_t fake_child(void)
{
	pid_t pid = fork();

	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

/* Front at <fake_dir>/http. `sets` as of --set. */
static void fake_start(const char *const *sets, size_t nsets)
{
	/* This process plays apid, and nobody's uid lies in the engine's range. */
	uid_t ids_base = getuid() - 1;

	snprintf(fake_dir, sizeof fake_dir, "/tmp/apid-test.XXXXXX");
	if (!mkdtemp(fake_dir))
		abort();
	int http_fd = fake_listen("http", SOCK_STREAM), owner_fd = fake_listen("runtimed", SOCK_SEQPACKET);
	int tcp_fd = fake_listen_tcp();

	fake_pid = fake_child();
	if (fake_pid == 0) {
		if (fake_child() == 0)
			fake_keep_owner(owner_fd, ids_base);
		fake_run_front(http_fd, tcp_fd, ids_base, sets, nsets);
	}
	close(http_fd);
	close(tcp_fd);
	close(owner_fd);
}

static void fake_stop(void)
{
	char path[128];

	kill(fake_pid, SIGKILL);
	waitpid(fake_pid, NULL, 0);
	snprintf(path, sizeof path, "%s/http", fake_dir);
	unlink(path);
	snprintf(path, sizeof path, "%s/runtimed", fake_dir);
	unlink(path);
	rmdir(fake_dir);
}

/* ---- a client ---- */

static int client_connect(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval limit = {.tv_sec = 60};

	snprintf(sun.sun_path, sizeof sun.sun_path, "%s/http", fake_dir);
	if (connect(fd, (struct sockaddr *)&sun, sizeof sun) < 0)
		abort();
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	return fd;
}

static int client_connect_tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval limit = {.tv_sec = 60};

	if (connect(fd, (struct sockaddr *)&fake_tcp, sizeof fake_tcp) < 0)
		abort();
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	return fd;
}

static void client_send(int fd, const char *text)
{
	send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* Read until `until` has come, or to the end. The text is the caller's to free. */
static char *client_read(int fd, const char *until)
{
	size_t len = 0, room = 1 << 20;
	char *text = xcalloc(1, room);

	while (len + 1 < room && !(until && strstr(text, until))) {
		ssize_t n = read(fd, text + len, until ? 1 : room - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	return text;
}

/* One request on a connection of its own; the whole answer. */
static char *client_ask(const char *request)
{
	int fd = client_connect();

	client_send(fd, request);
	char *text = client_read(fd, NULL);
	close(fd);
	return text;
}

#endif
