#include "lib/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/channel.h"
#include "lib/config.h"
#include "lib/daemon_parts.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/notify.h"
#include "lib/util.h"

static void die(const struct err *e)
{
	log_error("%s", e->text);
	exit(1);
}

/* ---- texts ---- */

int daemon_read_text(const char *path, size_t max, struct daemon_text *out, struct err *e)
{
	*out = (struct daemon_text){0};
	if (!*path)
		return 0;
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "%s", path);
	int r = fd_read_file(fd, max, &out->text, &out->len, e);
	return r < 0 ? err_prefix(e, "%s", path) : 0;
}

/* Several processes read the same memfd at the same time: without its offset. */
static int read_memfd(int fd, size_t max, struct daemon_text *out, struct err *e)
{
	struct stat st;

	*out = (struct daemon_text){0};
	if (fstat(fd, &st) < 0)
		return err_sys(e, -errno, "a passed memfd");
	if (st.st_size < 0 || (size_t)st.st_size > max)
		return err_set(e, -EFBIG, "a passed text is larger than %zu bytes", max);
	AUTO_FREE char *text = xcalloc((size_t)st.st_size + 1, 1);
	ssize_t n = pread(fd, text, (size_t)st.st_size, 0);
	if (n != st.st_size)
		return err_sys(e, n < 0 ? -errno : -EIO, "read a passed memfd");
	out->len = (size_t)n;
	out->text = STEAL(text);
	return 0;
}

int daemon_read_files(const struct config_source *source, struct config **config, struct daemon_text *policy,
		      struct err *e)
{
	int r = source->file ? config_load(source, config, e) : config_parse(source, config, e);

	if (r < 0)
		return r;
	r = daemon_read_text((*config)->policy_path, DAEMON_POLICY_MAX, policy, e);
	if (r < 0) {
		config_free(*config);
		*config = NULL;
	}
	return r;
}

static int config_from_memfd(const struct daemon *d, int fd, struct config **out, struct err *e)
{
	struct daemon_text text;
	int r = read_memfd(fd, CONFIG_TEXT_MAX, &text, e);

	if (r < 0)
		return r;
	const struct config_source source = {
		.file = "pouch.json", .text = text.text, .len = text.len, .root = d->root, .run = d->run};
	r = config_parse(&source, out, e);
	free(text.text);
	return r;
}

static void read_settings(struct daemon *d, const struct daemon_args *a)
{
	int config = daemon_fd(d, "config"), policy = daemon_fd(d, "policy");
	struct config_source source = {
		.file = a->config, .root = a->root, .run = a->run, .sets = a->sets, .nsets = a->nsets};
	struct err e;
	int r;

	if (!source.file && access(DAEMON_DEFAULT_CONFIG, F_OK) == 0)
		source.file = DAEMON_DEFAULT_CONFIG;
	d->config_path = source.file;
	if (config < 0) {
		r = daemon_read_files(&source, &d->config, &d->policy, &e);
	} else {
		r = config_from_memfd(d, config, &d->config, &e);
		if (r == 0 && policy >= 0)
			r = read_memfd(policy, DAEMON_POLICY_MAX, &d->policy, &e);
	}
	if (r < 0)
		die(&e);
}

/* ---- reload ---- */

/* The new ones are good: they count from here on. */
static void adopt(struct daemon *d, struct config *config, struct daemon_text policy)
{
	struct config *old = d->config;

	free(d->policy.text);
	d->policy = policy;
	d->config = config;
	log_set_level(config->log_level);
	if (d->reload)
		d->reload(d, d->arg);
	config_free(old);
}

static int same_at_start(const struct config *old, const struct config *new, struct err *e)
{
	const char *key = config_fixed_difference(old, new);

	return key ? err_set(e, -EINVAL, "%s takes effect when the engine starts, and cannot be changed by a reload",
			     key)
		   : 0;
}

static int reload_from_memfds(struct daemon *d, const struct service_reload *m, struct err *e)
{
	struct config *config = NULL;
	struct daemon_text policy = {0};
	int r = config_from_memfd(d, m->config, &config, e);

	if (r == 0)
		r = same_at_start(d->config, config, e);
	if (r == 0 && m->policy >= 0)
		r = read_memfd(m->policy, DAEMON_POLICY_MAX, &policy, e);
	if (r < 0) {
		config_free(config);
		return r;
	}
	adopt(d, config, policy);
	return 0;
}

/* ---- the supervisor ---- */

json_t *daemon_state_json(const struct daemon *d)
{
	json_t *sandbox = d->confined ? sandbox_report_json(&d->sandbox) : json_object();

	return json_pack("{s:s, s:i, s:o}", "Name", process_name(d->id), "Pid", (int)getpid(), "Sandbox", sandbox);
}

static void answer_failure(struct channel *c, uint64_t id, const struct err *why)
{
	const struct ipc_head head = {.message = ipc_message(IPC_failure), .kind = K_ERROR, .id = id};
	struct failure failure = {.code = why->code, .status = (uint32_t)err_status(why), .text = why->text};

	channel_send(c, &head, &failure, NULL);
}

static void answer_state(struct daemon *d, uint64_t id)
{
	const struct ipc_head head = {.message = ipc_message(IPC_service_state), .kind = K_END, .id = id};
	struct service_state state = {.state.json = daemon_state_json(d)};

	channel_send(d->control, &head, &state, NULL);
	json_decref(state.state.json);
}

static void control_message(void *arg, const struct ipc_head *head, void *msg)
{
	const struct ipc_head done_head = {.message = ipc_message(IPC_done), .kind = K_END, .id = head->id};
	struct daemon *d = arg;
	struct done done = {};
	struct err e = {0};

	if (head->kind == K_REQUEST && head->message->number == IPC_service_reload) {
		if (reload_from_memfds(d, msg, &e) == 0)
			channel_send(d->control, &done_head, &done, NULL);
	} else if (head->kind == K_REQUEST && head->message->number == IPC_service_status) {
		answer_state(d, head->id);
	} else {
		err_set(&e, -EPROTO, "%s has no place on the control connection", head->message->name);
	}
	if (e.code < 0) {
		log_error("%s: %s", head->message->name, e.text);
		answer_failure(d->control, head->id, &e);
	}
	channel_msg_free(head->message, msg);
}

static void stop_now(struct daemon *d)
{
	if (d->stopping)
		return;
	d->stopping = true;
	notify_send(d->notify_fd, "STOPPING=1");
	if (d->stop)
		d->stop(d, d->arg);
	else
		daemon_stop(d);
}

static void control_closed(void *arg, const struct err *why)
{
	struct daemon *d = arg;

	(void)why;
	channel_free(d->control);
	d->control = NULL;
	if (!d->stopping)
		log_info("the supervisor has gone; ending");
	stop_now(d);
}

static const struct channel_events control_events = {.message = control_message, .closed = control_closed};

/* ---- signals ---- */

static void on_stop_signal(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	stop_now(arg);
}

/* Without a supervisor the files are read again, where the sandbox lets them be read. */
static void on_hangup(evutil_socket_t sig, short what, void *arg)
{
	struct daemon *d = arg;
	const struct config_source source = {
		.file = d->config_path, .root = d->root, .run = d->run, .sets = d->sets, .nsets = d->nsets};
	struct config *config = NULL;
	struct daemon_text policy = {0};
	struct err e = {0};

	(void)sig;
	(void)what;
	if (d->control)
		return; /* the supervisor reads the files, and sends what it has read */
	int r = daemon_read_files(&source, &config, &policy, &e);
	if (r == 0)
		r = same_at_start(d->config, config, &e);
	if (r == 0) {
		adopt(d, config, policy);
		return;
	}
	log_error("reload refused, the old configuration stays: %s", e.text);
	config_free(config);
	free(policy.text);
}

static void watch_signals(struct daemon *d)
{
	const struct {
		int number;
		event_callback_fn fn;
	} watched[] = {{SIGTERM, on_stop_signal}, {SIGINT, on_stop_signal}, {SIGHUP, on_hangup}};

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_LEN(watched); i++) {
		d->signals[i] = evsignal_new(d->base, watched[i].number, watched[i].fn, d);
		if (!d->signals[i] || event_add(d->signals[i], NULL) < 0)
			die(&(struct err){.text = "cannot watch signals"});
	}
}

/* ---- state ---- */

bool daemon_has_state(enum process_id id)
{
	return (1u << id) & (P(runtimed) | P(imaged) | P(volumed) | P(netd) | P(auditd));
}

int daemon_state_dir(const char *root, enum process_id id, uid_t ids_base, struct err *e)
{
	uid_t uid = process_uid(id, ids_base);
	const char *name = process_name(id);
	struct stat st;
	AUTO_CLOSE int top = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* runtimed opens imaged's too: one of them makes it and gives it away, the other finds it so. */
	if (top < 0 || flock(top, LOCK_EX) < 0)
		return err_sys(e, -errno, "%s", root);
	bool made = mkdirat(top, name, 0700) == 0;
	if (!made && errno != EEXIST)
		return err_sys(e, -errno, "create %s/%s", root, name);
	AUTO_CLOSE int fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, -errno, "%s/%s", root, name);
	if (st.st_uid != uid || st.st_gid != uid) {
		/* One just made, now or by a start that was cut off here, is root's and empty: rmdir-able is the proof.
		 */
		if (!made && (st.st_uid != 0 || unlinkat(top, name, AT_REMOVEDIR) < 0 || mkdirat(top, name, 0700) < 0))
			return err_set(e, -EPERM, "%s/%s belongs to uid %u, not to %u; has ids.base been changed?",
				       root, name, (unsigned)st.st_uid, (unsigned)uid);
		fd_close(&fd);
		fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || fchown(fd, uid, uid) < 0)
			return err_sys(e, -errno, "give %s/%s to uid %u", root, name, (unsigned)uid);
	}
	if (fchmod(fd, 0700) < 0)
		return err_sys(e, -errno, "chmod %s/%s", root, name);
	return STEAL_FD(fd);
}

/* ---- the four steps of a main() ---- */

int daemon_fd(const struct daemon *d, const char *name)
{
	for (size_t i = 0; i < d->nfds; i++)
		if (strcmp(d->fds[i].name, name) == 0)
			return d->fds[i].fd;
	return -1;
}

static int own_socket(const struct daemon *d)
{
	static const char *const others[] = {"config", "policy", "control", "lock", "check"};

	for (size_t i = 0; i < d->nfds; i++) {
		bool other = str_starts(d->fds[i].name, "http-");
		for (size_t k = 0; k < ARRAY_LEN(others); k++)
			other = other || str_eq(d->fds[i].name, others[k]);
		if (!other)
			return d->fds[i].fd;
	}
	return -1;
}

const char *daemon_socket_path(const struct daemon *d, enum process_id peer)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/ipc/%s.sock", d->run, process_name(peer));
	return path;
}

static void open_surroundings(struct daemon *d)
{
	const char *notify = getenv("NOTIFY_SOCKET");
	struct err e = {0};

	if (notify && (d->notify_fd = notify_open(notify, &e)) < 0)
		die(&e);
	unsetenv("NOTIFY_SOCKET");
	d->control_fd = daemon_fd(d, "control");
	d->listen_fd = own_socket(d);
	if (daemon_has_state(d->id) && (d->root_fd = daemon_state_dir(d->root, d->id, d->config->ids_base, &e)) < 0)
		die(&e);
	if ((d->proc_fd = sandbox_proc_open(d->id, &e)) < 0 && e.code < 0)
		die(&e);
}

void daemon_init(struct daemon *d, enum process_id id, int argc, char **argv)
{
	struct daemon_args a;
	struct err e;

	*d = (struct daemon){
		.id = id, .root_fd = -1, .listen_fd = -1, .notify_fd = -1, .proc_fd = -1, .control_fd = -1};
	log_open(process_name(id), LOG_LEVEL_INFO, LOG_SINK_STDERR, NULL, NULL);
	daemon_parse_args(&a, process_name(id), process_owns(id), argc, argv);
	if (sandbox_begin(daemon_passed_count(), &e) < 0)
		die(&e);
	if (daemon_passed(d->fds, ARRAY_LEN(d->fds), &d->nfds, &e) < 0)
		die(&e);
	d->root = a.root;
	d->run = a.run;
	d->sets = a.sets;
	d->nsets = a.nsets;
	read_settings(d, &a);
	log_begin(process_name(id), d->config);
	d->base = event_base_new();
	if (!d->base)
		die(&(struct err){.text = "cannot make an event loop"});
	watch_signals(d);
	open_surroundings(d);
}

void daemon_confine(struct daemon *d)
{
	const struct sandbox_args args = {
		.config = d->config, .root = d->root, .run = d->run, .root_fd = d->root_fd, .proc_fd = d->proc_fd};
	char text[512];
	struct err e;

	if (sandbox_enter(d->id, &args, &d->sandbox, &e) < 0)
		die(&e);
	sandbox_report_text(&d->sandbox, text, sizeof text);
	log_debug("confined: %s", text);
	d->confined = true;
}

void daemon_stop(struct daemon *d)
{
	event_base_loopbreak(d->base);
}

int daemon_run(struct daemon *d)
{
	if (d->control_fd >= 0) {
		d->control = channel_new(d->base, d->control_fd, &control_events, d);
		d->control_fd = -1;
	}
	notify_send(d->notify_fd, "READY=1");
	if ((d->loop ? d->loop(d->base, d->arg) : event_base_dispatch(d->base)) < 0) {
		log_error("the event loop has failed");
		return 1;
	}
	return d->exit_code;
}
