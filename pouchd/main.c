/*
 * pouchd: the supervisor. Holds the listening sockets, starts the engine's processes, starts them again. It never reads
 * a byte that a client has sent.
 */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/server.h"
#include "lib/config.h"
#include "lib/log.h"
#include "lib/notify.h"
#include "lib/times.h"
#include "lib/util.h"
#include "pouchd/supervisor.h"

static void die(const struct err *e)
{
	log_error("%s", e->text);
	exit(1);
}

/* ---- signals ---- */

static void on_child(evutil_socket_t sig, short what, void *arg)
{
	struct supervisor *s = arg;
	pid_t pid;
	int status;

	(void)sig;
	(void)what;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct service *v = service_by_pid(s, pid);
		if (v)
			service_exited(v, pid, status);
		else if (worker_exited(s, pid, status) && s->state == ENGINE_STOPPING)
			services_stop(s);
	}
}

static void on_stop(evutil_socket_t sig, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)sig;
	(void)what;
	if (s->state == ENGINE_STOPPING)
		return;
	log_info("stopping; containers go on");
	notify_send(s->notify_up_fd, "STOPPING=1");
	services_stop(s);
}

static void on_hangup(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	notify_send(((struct supervisor *)arg)->notify_up_fd, "RELOADING=1");
	reload_start(arg, NULL);
	notify_send(((struct supervisor *)arg)->notify_up_fd, "READY=1");
}

static struct event *watch(struct supervisor *s, int sig, event_callback_fn fn)
{
	struct event *ev = evsignal_new(s->base, sig, fn, s);

	if (!ev || event_add(ev, NULL) < 0)
		die(&(struct err){.text = "cannot watch signals"});
	return ev;
}

/* ---- from start to end ---- */

/* The children's programs lie beside this one. */
static char *program_directory(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

	if (n <= 0)
		die(&(struct err){.text = "cannot read /proc/self/exe"});
	path[n] = '\0';
	*strrchr(path, '/') = '\0';
	return xstrdup(path);
}

static void open_directories(struct supervisor *s)
{
	AUTO_FREE char *ipc = xasprintf("%s/ipc", s->args.run);
	struct err e;

	if (make_directory(s->args.root, 0700, &e) < 0 || (s->lock_fd = lock_directory(s->args.root, &e)) < 0 ||
	    make_directory(s->args.run, 0755, &e) < 0 || (s->run_lock_fd = lock_directory(s->args.run, &e)) < 0 ||
	    make_directory(ipc, 0700, &e) < 0)
		die(&e);
}

static void open_sockets(struct supervisor *s)
{
	struct daemon_fd passed[DAEMON_FDS_MAX];
	size_t n;
	struct err e;

	if (daemon_passed(passed, ARRAY_LEN(passed), &n, &e) < 0 || notify_init(s, &e) < 0 || control_init(s, &e) < 0 ||
	    services_init(s, &e) < 0 || workers_init(s, &e) < 0 ||
	    sockets_http(s, s->config, passed, n, s->http, &e) < 0)
		die(&e);
	s->nhttp = s->config->listeners.n;
}

void supervisor_ready(struct supervisor *s)
{
	if (s->state != ENGINE_STARTING)
		return;
	s->state = ENGINE_READY;
	log_info("the engine is ready after %d ms", (int)(monotonic_ms() - s->started_ms));
	notify_send(s->notify_up_fd, "READY=1");
	if (dprintf(STDOUT_FILENO, "ready\n") < 0)
		log_debug("nobody reads the standard output");
}

void supervisor_done(struct supervisor *s)
{
	event_base_loopbreak(s->base);
}

/* Little can be taken from it: its children must be able to become anything. */
static void confine(struct supervisor *s)
{
	const struct sandbox_args args = {
		.config = s->config, .root = s->args.root, .run = s->args.run, .root_fd = -1, .proc_fd = -1};
	struct sandbox_report report;
	struct err e;

	if (sandbox_enter(PROC_pouchd, &args, &report, &e) < 0)
		die(&e);
}

/* Only names of ours: what runs on (shims) has sockets of its own elsewhere. */
static void remove_sockets(struct supervisor *s)
{
	for (size_t i = 0; i < s->nhttp; i++)
		if (s->http[i].path)
			unlink(s->http[i].path);
	for (enum process_id id = 1; id < PROC_LIMIT; id++) {
		AUTO_FREE char *path =
			process_name(id) ? xasprintf("%s/ipc/%s.sock", s->args.run, process_name(id)) : NULL;
		if (path)
			unlink(path);
	}
	AUTO_FREE char *notify = xasprintf("%s/ipc/notify.sock", s->args.run);
	unlink(notify);
	AUTO_FREE char *ipc = xasprintf("%s/ipc", s->args.run);
	rmdir(ipc);
	AUTO_FREE char *pid_file = xasprintf("%s/pouchd.pid", s->args.run);
	unlink(pid_file);
}

static void begin(struct supervisor *s, int argc, char **argv)
{
	const char *up = getenv("NOTIFY_SOCKET");
	struct err e;

	*s = (struct supervisor){.started_ms = monotonic_ms(),
				 .config_fd = -1,
				 .policy_fd = -1,
				 .lock_fd = -1,
				 .run_lock_fd = -1,
				 .notify_fd = -1,
				 .notify_up_fd = -1,
				 .control_fd = -1};
	log_open("pouchd", LOG_LEVEL_INFO, LOG_SINK_STDERR, NULL, NULL);
	signal(SIGPIPE, SIG_IGN);
	daemon_parse_args(&s->args, "pouchd", process_owns(PROC_pouchd), argc, argv);
	if (sandbox_begin(daemon_passed_count(), &e) < 0)
		die(&e);
	if (!s->args.config && access(DAEMON_DEFAULT_CONFIG, F_OK) == 0)
		s->args.config = DAEMON_DEFAULT_CONFIG;
	if (geteuid() != 0)
		die(&(struct err){
			.text = "pouchd must be started as root: it makes its children's users, and drops them"});
	if (settings_read(s, &s->config, &s->config_fd, &s->policy_fd, &e) < 0)
		die(&e);
	log_begin("pouchd", s->config);
	if (up && (s->notify_up_fd = notify_open(up, &e)) < 0)
		log_warn("%s", e.text);
	unsetenv("NOTIFY_SOCKET");
	s->programs = program_directory();
}

int main(int argc, char **argv)
{
	static struct supervisor s;
	struct err e;

	if (argc > 1 && strcmp(argv[1], "ctl") == 0)
		return ctl_main(argc - 1, argv + 1);
	begin(&s, argc, argv);
	open_directories(&s);
	s.base = event_base_new();
	if (!s.base)
		die(&(struct err){.text = "cannot make an event loop"});
	s.child = watch(&s, SIGCHLD, on_child);
	s.stop[0] = watch(&s, SIGTERM, on_stop);
	s.stop[1] = watch(&s, SIGINT, on_stop);
	s.hangup = watch(&s, SIGHUP, on_hangup);
	open_sockets(&s);
	confine(&s);
	if (front_check(&s, s.config, s.config_fd, &e) < 0) {
		log_error("%s", e.text);
		s.exit_code = 1;
	} else {
		services_go_on(&s);
		event_base_dispatch(s.base);
	}
	ipc_server_free(s.control);
	remove_sockets(&s);
	log_info("stopped");
	return s.exit_code;
}
