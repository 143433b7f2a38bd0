/* run: a container from launch_start() or launch_reattach() to failed() or exited(). */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/fault.h"
#include "lib/log.h"
#include "lib/times.h"
#include "lib/tree.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

#define CANCELLED (-ECANCELED)

/* What the start alone needs. Each descriptor of a running container would be copied by every later start. */
static void close_parts(struct launch_run *run)
{
	fd_close(&run->state_dir);
	fd_close(&run->user_fd);
	fd_close(&run->net_fd);
	fd_close(&run->ipc_fd);
	fd_close(&run->pid_fd);
	fd_close(&run->uts_fd);
	fd_close(&run->nodes_fd);
}

void run_list(struct launch_run *run)
{
	LIST_INSERT_HEAD(&run->launch->runs, run, link);
	table_put(&run->launch->by_id, run->id, run);
	run->listed = true;
}

static void unlist(struct launch_run *run)
{
	if (!run->listed)
		return;
	LIST_REMOVE(run, link);
	table_remove(&run->launch->by_id, run->id);
	run->listed = false;
}

void run_free(struct launch_run *run)
{
	unlist(run);
	shim_free(&run->shim, run->state < RUN_STARTING);
	exec_forget_all(run);
	freeze_forget(run);
	logger_free(run->logger);
	if (run->soon)
		event_free(run->soon);
	for (size_t i = 0; i < run->nmounts; i++)
		free(run->mounts[i].destination);
	free(run->mounts);
	json_decref(run->config);
	json_decref(run->host);
	fd_close(&run->dir);
	close_parts(run);
	fd_close(&run->pidfd);
	free(run->cgroup);
	free(run->who);
	free(run->stage);
	free(run->workdir);
	free(run->hosts);
	free(run->resolv_conf);
	free(run->files_of);
	free(run);
}

static void later(struct launch_run *run, unsigned ms)
{
	struct timeval t = timeval_ms(ms);

	event_add(run->soon, &t);
}

/* ---- the end ---- */

static void read_oom(struct launch_run *run)
{
	run->exit.oom = cgroup_oom_kills(run->cgroup) > 0;
}

static void on_cleaned(void *arg, int r)
{
	struct launch_run *run = arg;

	if (r < 0)
		log_warn("container %.12s: its cgroup cannot be removed: %s", run->id, strerror(-r));
	execs_end(run);
	/* Who is told may start or remove the container at once. */
	unlist(run);
	if (run->failure.code) {
		run->events->failed(run->arg, run, &run->failure, run->failure_code);
	} else {
		run->exit.error = run->exit_error;
		run->events->exited(run->arg, run, &run->exit);
	}
	run_free(run);
}

/* Everything of the attempt goes; then whoever asked is told. */
static void finish(struct launch_run *run)
{
	int r = leftovers_remove(run->launch, run->id, run->cgroup);

	run->state = RUN_ENDED;
	reattach_settled(run);
	freeze_give_up(run, "has ended");
	if (r == -EBUSY)
		leftovers_wait(run->launch, run->id, run->cgroup, on_cleaned, run);
	else
		on_cleaned(run, r);
}

static void fail(struct launch_run *run, int exit_code)
{
	if (run->state == RUN_ENDED)
		return;
	shim_free(&run->shim, true);
	run->failure_code = exit_code;
	if (!run->failure.code)
		err_set(&run->failure, -EIO, "the container cannot be started");
	finish(run);
}

static void ended(struct launch_run *run)
{
	read_oom(run);
	finish(run);
}

void run_shim_lost(struct launch_run *run)
{
	struct wire_exit x;
	AUTO_CLOSE int fd = openat(run->dir, "exit", O_RDONLY | O_CLOEXEC);

	shim_free(&run->shim, false);
	if (fd >= 0 && fd_read_full(fd, &x, sizeof x, NULL) == (ssize_t)sizeof x && x.magic == WIRE_MAGIC) {
		run->exit.code = x.code;
		run->exit.signal = x.sig;
		run->exit.finished_at = x.time;
	} else if (run->state != RUN_RUNNING) {
		err_set(&run->failure, -EIO, "the container's shim was killed");
		fail(run, 128);
		return;
	} else {
		run->exit.code = 137;
		run->exit.signal = SIGKILL;
		run->exit.finished_at = time_now();
		snprintf(run->exit_error, sizeof run->exit_error,
			 "the container's shim was killed; the container was ended with code 137");
	}
	ended(run);
}

/* ---- what the shim says ---- */

/* The runtime's words → ours, and the exit code that Docker would record. */
static int explain(struct launch_run *run, int status, const char *text)
{
	const json_t *entry = json_object_get(run->config, "Entrypoint");
	const char *command = json_string_value(
		json_array_get(json_array_size(entry) ? entry : json_object_get(run->config, "Cmd"), 0));

	return runtime_error(text, command ? command : "", status, &run->failure);
}

static void send_go(struct launch_run *run);

/* The shim is ready, the network is, and so is the collector of the log. */
static bool may_go(const struct launch_run *run)
{
	return run->go && run->ready && !logger_starting(run) && run->state < RUN_STARTING;
}

static void take_prepared(struct launch_run *run, pid_t starter, const char *text, size_t len)
{
	size_t n = strlen(text) + 1;

	run->who = xstrdup(text);
	run->stage = xstrdup(n < len ? text + n : "/");
	n += strlen(run->stage) + 1;
	run->workdir = n < len ? xstrdup(text + n) : NULL;
	run->starter = starter;
	run->ready = true;
	if (may_go(run))
		send_go(run);
}

static void on_shim(void *arg, const struct wire_head *head, char *text, size_t len, int *fds)
{
	struct launch_run *run = arg;

	if (!head) {
		if (run->state != RUN_ENDED) /* after its last word it may go before the cgroup is empty */
			run_shim_lost(run);
		return;
	}
	switch (head->type) {
	case WIRE_PREPARED:
		take_prepared(run, head->pid, text, len);
		break;
	case WIRE_FAILED:
		if (head->flags) {
			run->failure_code = explain(run, head->code, text);
		} else {
			err_set(&run->failure, head->pid ? head->pid : -EIO, "%s", text);
			run->failure.status = head->sig;
			run->failure_code = head->code;
		}
		fail(run, run->failure_code);
		break;
	case WIRE_STATE:
		shim_watch(&run->shim, fd_keep(STEAL_FD(fds[0])));
		break;
	case WIRE_STARTED:
		run->state = RUN_RUNNING;
		run->pid = head->pid;
		run->started_at = head->time;
		fd_close(&run->pidfd);
		run->pidfd = fd_keep(STEAL_FD(fds[0]));
		run->dir = fd_keep(run->dir);
		close_parts(run);
		freeze_find(run);
		reattach_settled(run);
		run->events->started(run->arg, run, run->pid, run->started_at);
		break;
	case WIRE_ROTATED:
		logs_hold_quota(run->launch);
		break;
	case WIRE_LINES_DROPPED:
		log_warn("%.12s: %lld lines were dropped%s: the log file's disk is slow", run->id,
			 (long long)head->time, head->flags ? "" : " so far");
		break;
	case WIRE_LOGGER_LOST:
		logger_lost(run);
		break;
	case WIRE_EXITED:
		FAULT(exit_told);
		run->exit.code = head->code;
		run->exit.signal = head->sig;
		run->exit.finished_at = head->time;
		ended(run);
		break;
	default:
		break;
	}
}

/* ---- go ---- */

/* "uid gid group,group" */
static void read_who(const struct launch_run *run, struct bundle *b, long groups[256])
{
	char *end;

	b->uid = strtol(run->who, &end, 10);
	b->gid = strtol(end, &end, 10);
	b->groups = groups;
	for (end++; isdigit((unsigned char)*end) && b->ngroups < 256; end += *end == ',')
		groups[b->ngroups++] = strtol(end, &end, 10);
}

static int make_document(struct launch_run *run, struct err *e)
{
	struct bundle b = {.launch = run->launch,
			   .id = run->id,
			   .config = run->config,
			   .host = run->host,
			   .ids = run->ids,
			   .mounts = run->mounts,
			   .nmounts = run->nmounts,
			   .stage = run->stage,
			   .workdir = run->workdir,
			   .starter = run->starter,
			   .user_fd = run->user_fd,
			   .net_fd = run->net_fd,
			   .ipc_fd = run->ipc_fd,
			   .pid_fd = run->pid_fd,
			   .uts_fd = run->uts_fd,
			   .nodes_fd = run->nodes_fd,
			   .host_net = run->host_net,
			   .cgroup = run->cgroup};
	long groups[256];
	json_t *document = NULL;

	read_who(run, &b, groups);
	int r = bundle_make(&b, &document, e);
	if (r < 0)
		return r;
	AUTO_FREE char *text = json_dumps(document, JSON_COMPACT);
	json_decref(document);
	return text ? fd_memfd("config.json", text, strlen(text), e)
		    : err_set(e, -EINVAL, "the document cannot be written");
}

static void send_go(struct launch_run *run)
{
	struct wire_head head = {.type = WIRE_GO};
	int r = run_write_files(run, &run->failure);
	AUTO_CLOSE int document = r < 0 ? r : make_document(run, &run->failure);

	if (r == 0)
		r = document < 0 ? document : shim_send(&run->shim, &head, NULL, 0, document, &run->failure);
	if (r < 0) {
		fail(run, 128);
		return;
	}
	run->state = RUN_STARTING;
	FAULT(start_go);
}

void launch_go(struct launch_run *run, const struct launch_network_files *files)
{
	run->hosts = files && files->hosts ? xstrdup(files->hosts) : NULL;
	run->resolv_conf = files && files->resolv_conf ? xstrdup(files->resolv_conf) : NULL;
	run->go = true;
	if (may_go(run))
		later(run, 0);
}

void run_go_on(struct launch_run *run, const struct err *e)
{
	if (e && run->state < RUN_RUNNING)
		run->failure = *e;
	if (e || may_go(run))
		later(run, 0);
}

void launch_cancel(struct launch_run *run)
{
	if (run->state >= RUN_RUNNING)
		return;
	err_set(&run->failure, CANCELLED, "the start was cancelled");
	later(run, 0);
}

/* What must not happen inside the caller's call. */
static void on_soon(evutil_socket_t fd, short what, void *arg)
{
	struct launch_run *run = arg;

	(void)fd;
	(void)what;
	if (run->state == RUN_ENDED)
		return;
	if (run->failure.code) {
		fail(run, 128);
	} else if (!run->told_prepared) {
		run->told_prepared = true;
		run->events->prepared(run->arg, run, run->own_net ? run->net_fd : -1);
	} else if (may_go(run)) {
		send_go(run);
	}
}

/* ---- begin ---- */

/* For a runtimed that comes after this one. */
static int note(const struct launch_run *run, const char *name, const char *text, struct err *e)
{
	AUTO_CLOSE int fd = openat(run->dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	return fd < 0 ? err_sys(e, -errno, "write in the run directory") : fd_write_all(fd, text, strlen(text), e);
}

int run_dir_make(struct launch_run *run, struct err *e)
{
	struct launch *l = run->launch;

	trash_put(l->trash, TRASH_RUN, l->runs_dir, run->id, NULL);
	if (mkdirat(l->runs_dir, run->id, 0700) < 0)
		return err_sys(e, -errno, "make the run directory");
	run->dir = openat(l->runs_dir, run->id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (run->dir < 0)
		return err_sys(e, -errno, "open the run directory");
	AUTO_FREE char *start = xasprintf("%llu", (unsigned long long)run->start);
	int r = note(run, "start", start, e);
	return r < 0 ? r : note(run, "cgroup", run->cgroup, e);
}

struct launch_run *run_new(struct launch *l, const struct launch_spec *spec, const struct launch_events *events,
			   void *arg)
{
	struct launch_run *run = XNEW(struct launch_run);

	run->launch = run->shim.launch = l;
	memcpy(run->id, spec->id, ID_CHARS + 1);
	run->start = spec->start;
	run->events = events;
	run->arg = arg;
	run->shim.on = on_shim;
	run->shim.arg = run;
	run->shim.control = run->shim.pidfd = -1;
	run->dir = run->state_dir = run->user_fd = run->net_fd = run->ipc_fd = run->pid_fd = run->uts_fd =
		run->nodes_fd = run->pidfd = -1;
	run->ids = spec->ids;
	run->host = json_incref((json_t *)(uintptr_t)spec->host);
	run->config = json_incref((json_t *)(uintptr_t)spec->config);
	run->cgroup = cgroup_of(l, spec->id, spec->host);
	run->soon = evtimer_new(l->c.base, on_soon, run);
	LIST_INIT(&run->execs);
	TAILQ_INIT(&run->holds);
	return run;
}

int run_check_free(const struct launch *l, const char *id, struct err *e)
{
	if (!id_valid(id))
		return err_set(e, -EINVAL, "invalid container id");
	return table_get(&l->by_id, id) ? err_set(e, -EALREADY, "container %.12s is being run", id) : 0;
}

int launch_start(struct launch *l, const struct launch_spec *spec, const struct launch_events *events, void *arg,
		 struct launch_run **out, struct err *e)
{
	struct shim_settings settings = {0};
	int r = run_check_free(l, spec->id, e);

	if (r < 0 || (r = leftovers_check(l, spec->id, e)) < 0)
		return r;
	ahead_move(l->ahead);
	struct launch_run *run = run_new(l, spec, events, arg);
	run_list(run);
	r = run_dir_make(run, e);
	if (r == 0)
		r = state_dirs_make(l, run->id, &run->state_dir, e);
	FAULT(start_dirs);
	if (r == 0)
		r = run_prepare(run, spec, &settings, e);
	FAULT(start_clones);
	if (r == 0)
		r = shim_start(&run->shim, run->id, -1, &settings, e);
	FAULT(start_shim);
	settings_free(&settings);
	if (r < 0) {
		trash_put(l->trash, TRASH_RUN, l->runs_dir, run->id, NULL);
		run_free(run);
		return r;
	}
	later(run, 0);
	*out = run;
	return 0;
}

bool launch_ended(const struct launch_run *run)
{
	return run->state == RUN_RUNNING && syscall(SYS_pidfd_send_signal, run->pidfd, 0, NULL, 0) < 0;
}

const char *launch_id(const struct launch_run *run)
{
	return run->id;
}
