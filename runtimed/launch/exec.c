/* exec: a command in a running container, by a shim of its own. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/tree.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

struct launch_exec {
	LIST_ENTRY(launch_exec) link;
	struct launch_run *run;
	char id[ID_CHARS + 1];
	const struct launch_exec_events *events;
	void *arg;
	struct launch_shim shim;
	json_t *exec, *config, *host;
	unsigned rows, columns;
	bool tty, started, told, lost;
	int dir, pidfd;
	int program; /* the shim's copy, which enters the container itself; -1: the runtime does. Borrowed */
	int stream;  /* for the words of a failure, until it has started */
	struct event *soon;
	struct err failure;
};

static void exec_free(struct launch_exec *x)
{
	char name[24];

	LIST_REMOVE(x, link);
	shim_free(&x->shim, false);
	if (x->soon)
		event_free(x->soon);
	if (x->run->dir >= 0 && x->told) {
		snprintf(name, sizeof name, "x-%.16s", x->id);
		trash_put(x->run->launch->trash, TRASH_RUN, x->run->dir, name, NULL);
	}
	json_decref(x->exec);
	json_decref(x->config);
	json_decref(x->host);
	fd_close(&x->dir);
	fd_close(&x->pidfd);
	fd_close(&x->stream);
	free(x);
}

void exec_forget_all(struct launch_run *run)
{
	while (!LIST_EMPTY(&run->execs))
		exec_free(LIST_FIRST(&run->execs));
}

static void end(struct launch_exec *x, int code)
{
	x->told = true;
	x->events->ended(x->arg, x, code);
	exec_free(x);
}

/* The client has been told 101 long ago: it reads the reason on its stream. */
static void say_failure(struct launch_exec *x)
{
	char text[ERR_TEXT_MAX + 64];

	if (x->stream < 0)
		return;
	int n = snprintf(text + 8, sizeof text - 8, "OCI runtime exec failed: exec failed: %s\r\n", x->failure.text);
	const char head[8] = {2, 0, 0, 0, 0, 0, (char)(n >> 8), (char)n};
	memcpy(text, head, sizeof head);
	(void)!send(x->stream, x->tty ? text + 8 : text, (size_t)n + (x->tty ? 0 : 8), MSG_NOSIGNAL | MSG_DONTWAIT);
	shutdown(x->stream, SHUT_RDWR);
}

static void fail(struct launch_exec *x, int code)
{
	say_failure(x);
	x->told = true;
	x->events->failed(x->arg, x, &x->failure, code);
	exec_free(x);
}

/* Its container has ended: an exec that has started ends with it, as if killed. */
void execs_end(struct launch_run *run)
{
	while (!LIST_EMPTY(&run->execs)) {
		struct launch_exec *x = LIST_FIRST(&run->execs);
		if (x->started) {
			end(x, 137);
			continue;
		}
		err_http(&x->failure, 409, "container %.12s is not running", run->id);
		fail(x, 126);
	}
}

/* By what its shim has noted: this runtimed may never have been told of the process. */
static void kill_noted(struct launch_exec *x)
{
	AUTO_CLOSE int fd = openat(x->dir, "pid", O_RDONLY | O_CLOEXEC);
	unsigned long long began;
	char text[64];
	int pid;

	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
	text[n > 0 ? n : 0] = '\0';
	if (sscanf(text, "%d %llu", &pid, &began) != 2)
		return;
	AUTO_CLOSE int process = (int)syscall(SYS_pidfd_open, pid, 0);
	AUTO_CLOSE int inside = launch_process(x->run, pid);
	if (process >= 0 && inside >= 0 && wire_began(pid) == began)
		syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0);
}

/* The shim is gone: without a word of the end nobody watches the command, so it must not run. */
static void shim_lost(struct launch_exec *x)
{
	AUTO_CLOSE int fd = openat(x->dir, "exit", O_RDONLY | O_CLOEXEC);
	struct wire_exit w;

	if (fd >= 0 && fd_read_full(fd, &w, sizeof w, NULL) == (ssize_t)sizeof w && w.magic == WIRE_MAGIC) {
		end(x, w.code);
		return;
	}
	if (x->pidfd >= 0)
		launch_exec_kill(x);
	else
		kill_noted(x);
	end(x, 137);
}

/* ---- what the shim says ---- */

static int make_process(struct launch_exec *x, const char *who, struct err *e)
{
	struct launch_run *run = x->run;
	struct bundle b = {.launch = run->launch, .id = run->id, .config = x->config, .host = x->host, .ids = run->ids};
	json_t *document = NULL;
	long groups[256];
	char *at;

	b.uid = strtol(who, &at, 10);
	b.gid = strtol(at, &at, 10);
	b.groups = groups;
	for (at++; isdigit((unsigned char)*at) && b.ngroups < 256; at += *at == ',')
		groups[b.ngroups++] = strtol(at, &at, 10);
	int r = bundle_exec(&b, x->exec, x->rows, x->columns, &document, e);
	if (r < 0)
		return r;
	if (x->program >= 0) {
		r = enter_document(document, e);
		json_decref(document);
		return r;
	}
	AUTO_FREE char *text = json_dumps(document, JSON_COMPACT);
	json_decref(document);
	return text ? fd_memfd("process.json", text, strlen(text), e)
		    : err_set(e, -EINVAL, "the document cannot be written");
}

static void take_prepared(struct launch_exec *x, const char *who)
{
	struct wire_head head = {.type = WIRE_GO};
	AUTO_CLOSE int document = make_process(x, who, &x->failure);

	if (document < 0 || shim_send(&x->shim, &head, NULL, 0, document, &x->failure) < 0) {
		shim_free(&x->shim, true);
		fail(x, 126);
	}
}

static void take_failure(struct launch_exec *x, const struct wire_head *head, const char *text)
{
	const char *command = json_string_value(json_array_get(json_object_get(x->exec, "Cmd"), 0));
	int code = head->code;

	if (head->flags) {
		code = runtime_error(text, command ? command : "", head->code, &x->failure);
	} else {
		err_set(&x->failure, head->pid ? head->pid : -EIO, "%s", text);
		x->failure.status = head->sig;
	}
	fail(x, code == 128 ? 126 : code);
}

static void on_shim(void *arg, const struct wire_head *head, char *text, size_t len, int *fds)
{
	struct launch_exec *x = arg;

	(void)len;
	if (!head) {
		if (x->started) {
			shim_lost(x);
		} else {
			err_set(&x->failure, -EIO, "the exec's shim was killed");
			fail(x, 126);
		}
		return;
	}
	switch (head->type) {
	case WIRE_PREPARED:
		take_prepared(x, text);
		break;
	case WIRE_FAILED:
		take_failure(x, head, text);
		break;
	case WIRE_STATE:
		shim_watch(&x->shim, STEAL_FD(fds[0]));
		break;
	case WIRE_STARTED:
		x->started = true;
		fd_close(&x->stream);
		fd_close(&x->pidfd);
		x->pidfd = STEAL_FD(fds[0]);
		x->events->started(x->arg, x, head->pid);
		break;
	case WIRE_EXITED:
		end(x, head->code);
		break;
	default:
		break;
	}
}

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
	struct launch_exec *x = arg;

	(void)fd;
	(void)what;
	if (x->lost)
		shim_lost(x);
}

/* ---- begin ---- */

void launch_exec_expect(struct launch_run *run)
{
	const struct launch_runtime *rt = runtime_of(run->launch, run->host, NULL);

	/* Who enters by v1's `tasks` waits for nobody. */
	if (cgroup_is_v2() || !rt || !rt->bpf_annotation)
		ahead_move(run->launch->ahead);
}

static struct launch_exec *exec_new(struct launch_run *run, const char *id, const struct launch_exec_events *events,
				    void *arg)
{
	struct launch_exec *x = XNEW(struct launch_exec);

	memcpy(x->id, id, ID_CHARS + 1);
	x->run = run;
	x->events = events;
	x->arg = arg;
	x->shim = (struct launch_shim){.launch = run->launch, .on = on_shim, .arg = x, .control = -1, .pidfd = -1};
	x->dir = x->pidfd = x->stream = x->program = -1;
	LIST_INSERT_HEAD(&run->execs, x, link);
	return x;
}

static int open_dir(struct launch_exec *x, bool make, struct err *e)
{
	char name[24];

	snprintf(name, sizeof name, "x-%.16s", x->id);
	if (make && mkdirat(x->run->dir, name, 0700) < 0)
		return err_sys(e, -errno, "make the exec's directory");
	x->dir = openat(x->run->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return x->dir < 0 ? err_sys(e, -errno, "open the exec's directory") : 0;
}

static int add_runtime(const struct launch_exec *x, struct shim_settings *s, struct err *e)
{
	struct launch *l = x->run->launch;
	const struct launch_runtime *rt = runtime_of(l, x->host, e);

	if (!rt)
		return -EINVAL;
	ahead_move(l->ahead);
	settings_text(s, "runtime", rt->path);
	settings_fd(s, "program", runtime_copy(l, rt));
	settings_fd(s, "nulls", l->nulls);
	for (size_t i = 0; rt->args && rt->args[i]; i++)
		settings_text(s, "runtime-arg", rt->args[i]);
	settings_text(s, "runtime-root", l->runtime_root);
	/* crun asks for no more than its own records; runc begins in the directory that was the bundle's root. */
	if (!rt->bpf_annotation)
		settings_stages(s, l);
	return 0;
}

/* Files of the run's directory and the container's root. */
static int add_files(const struct launch_exec *x, struct shim_settings *s, struct err *e)
{
	const struct launch_run *run = x->run;
	char path[40];

	snprintf(path, sizeof path, "/proc/%d/root", run->pid);
	int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(e, -errno, "open the root of container %.12s", run->id);
	settings_take_fd(s, "root", root);
	if (syscall(SYS_pidfd_send_signal, run->pidfd, 0, NULL, 0) < 0)
		return err_http(e, 409, "container %.12s is not running", run->id);
	int fd = openat(x->dir, "exit", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, -errno, "make the exit file");
	settings_take_fd(s, "exit", fd);
	fd = shim_listener(x->dir, e);
	if (fd < 0)
		return fd;
	settings_take_fd(s, "listen", fd);
	settings_fd(s, "dir", x->dir);
	return 0;
}

static int add_settings(struct launch_exec *x, struct shim_settings *s, struct err *e)
{
	const struct launch_run *run = x->run;
	const char *user = doc_text(x->exec, "User");
	int r = add_files(x, s, e);

	if (r == 0)
		r = enter_settings(run, x->exec, x->host, s, &x->program, e);
	if (r == 0 && x->program < 0)
		r = add_runtime(x, s, e);
	if (r < 0)
		return r;
	settings_number(s, "mode", 1);
	settings_text(s, "id", run->id);
	settings_text(s, "user", *user ? user : doc_text(x->config, "User"));
	json_t *item;
	size_t i;
	json_array_foreach(json_object_get(x->host, "GroupAdd"), i, item)
		if (json_is_string(item))
			settings_text(s, "group", json_string_value(item));
	settings_number(s, "base", run->ids.base);
	settings_number(s, "size", run->ids.size);
	settings_number(s, "uid", run->launch->c.shim_uid);
	settings_fd(s, "filter", run->launch->shim_filter);
	settings_number(s, "tty", x->tty);
	settings_number(s, "stdin", doc_true(x->exec, "AttachStdin"));
	settings_number(s, "stdin-once", 1);
	settings_number(s, "rows", x->rows);
	settings_number(s, "columns", x->columns);
	return 0;
}

static int attach_client(struct launch_exec *x, const void *early, size_t len, struct err *e)
{
	const char *keys = doc_text(x->exec, "DetachKeys");
	struct launch_attach how = {.in = doc_true(x->exec, "AttachStdin"),
				    .out = doc_true(x->exec, "AttachStdout"),
				    .err = doc_true(x->exec, "AttachStderr"),
				    .stream = true,
				    .detach_keys = *keys ? keys : NULL};

	return x->stream < 0 ? 0 : shim_attach(&x->shim, &how, x->tty, x->stream, early, len, e);
}

int launch_exec(struct launch_run *run, const struct launch_exec_spec *spec, int take_stream, const void *early,
		size_t len, const struct launch_exec_events *events, void *arg, struct launch_exec **out, struct err *e)
{
	AUTO_CLOSE int stream = take_stream;
	struct shim_settings settings = {0};

	if (!id_valid(spec->id))
		return err_set(e, -EINVAL, "invalid exec id");
	if (run->state != RUN_RUNNING || run->pid <= 0)
		return err_http(e, 409, "container %.12s is not running", run->id);
	struct launch_exec *x = exec_new(run, spec->id, events, arg);
	x->exec = json_incref((json_t *)(uintptr_t)spec->exec);
	x->config = json_incref((json_t *)(uintptr_t)spec->config);
	x->host = json_incref((json_t *)(uintptr_t)spec->host);
	x->tty = doc_true(spec->exec, "Tty");
	x->rows = spec->rows;
	x->columns = spec->columns;
	x->stream = spec->detach ? -1 : STEAL_FD(stream);
	int r = open_dir(x, true, e);
	if (r == 0)
		r = add_settings(x, &settings, e);
	if (r == 0)
		r = shim_start(&x->shim, run->id, x->program, &settings, e);
	settings_free(&settings);
	if (r == 0 && (r = attach_client(x, early, len, e)) < 0)
		shim_free(&x->shim, true);
	if (r < 0) {
		x->told = true;
		exec_free(x);
		return r;
	}
	*out = x;
	return 0;
}

int launch_exec_reattach(struct launch_run *run, const char *exec_id, const struct launch_exec_events *events,
			 void *arg, struct launch_exec **out, struct err *e)
{
	if (!id_valid(exec_id))
		return err_set(e, -EINVAL, "invalid exec id");
	struct launch_exec *x = exec_new(run, exec_id, events, arg);
	if (open_dir(x, false, NULL) < 0) {
		exec_free(x);
		return err_set(e, -ENOENT, "nothing is left of exec %.12s", exec_id);
	}
	x->exec = json_object();
	if (shim_connect(&x->shim, x->dir, NULL) < 0) {
		const struct timeval now = {0};
		x->lost = true;
		x->soon = evtimer_new(run->launch->c.base, on_soon, x);
		event_add(x->soon, &now);
	}
	*out = x;
	return 0;
}

int launch_exec_resize(struct launch_exec *x, unsigned rows, unsigned columns, struct err *e)
{
	struct wire_head head = {.type = WIRE_RESIZE, .rows = rows, .columns = columns};

	return shim_send(&x->shim, &head, NULL, 0, -1, e);
}

void launch_exec_kill(struct launch_exec *x)
{
	if (x->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, x->pidfd, SIGKILL, NULL, 0);
}
