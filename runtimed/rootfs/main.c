/* rootfs: see rootfs.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ipc/server.h"
#include "lib/config.h"
#include "lib/daemon.h"
#include "lib/sandbox/sandbox.h"
#include "lib/util.h"
#include "runtimed/rootfs/rootfs.h"

struct worker {
	struct daemon daemon;
	struct ipc_server *server;
};

/* From here on the container's root is ours, and so are its ids on disk. */
static int enter(int root, const struct ids *ids, struct err *e)
{
	struct sandbox_narrow to = {.fsuid = ids->size ? ids->base : (uid_t)-1,
				    .fsgid = ids->size ? ids->base : (gid_t)-1};
	struct sandbox_report report = {0};

	if (fchdir(root) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return err_sys(e, -errno, "enter the container's root");
	return sandbox_narrow(PROC_rootfs, &to, &report, e);
}

/* Go's os.FileMode. */
static int64_t go_mode(mode_t m)
{
	int64_t v = m & 0777;

	v |= S_ISDIR(m) ? 1ll << 31 : S_ISLNK(m) ? 1ll << 27 : S_ISFIFO(m) ? 1ll << 25 : S_ISSOCK(m) ? 1ll << 24 : 0;
	v |= S_ISBLK(m) ? 1ll << 26 : S_ISCHR(m) ? 1ll << 26 | 1ll << 21 : 0;
	return v | (m & S_ISUID ? 1ll << 23 : 0) | (m & S_ISGID ? 1ll << 22 : 0) | (m & S_ISVTX ? 1ll << 20 : 0);
}

int stat_path(const char *path, json_t **out, struct err *e)
{
	char target[4097] = "", when[64];
	const char *slash = strrchr(path, '/'), *name = slash && slash[1] ? slash + 1 : path;
	struct stat st;
	struct tm tm;

	if (lstat(path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR
			       ? err_http(e, 404, "Could not find the file %s in container", path)
			       : err_sys(e, -errno, "stat %s", path);
	if (S_ISLNK(st.st_mode) && readlink(path, target, sizeof target - 1) < 0)
		return err_sys(e, -errno, "read link %s", path);
	gmtime_r(&st.st_mtime, &tm);
	strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
	*out = json_pack("{s:s, s:I, s:I, s:s, s:s}", "name", name, "size", (json_int_t)st.st_size, "mode",
			 (json_int_t)go_mode(st.st_mode), "mtime", when, "linkTarget", target);
	return *out ? 0 : err_http(e, 400, "the name of %zu bytes is not UTF-8", strlen(name));
}

/* "/a/b/" → "/a/b"; a trailing "/." stays: it asks for what is in the directory. */
static char *absolute(const char *path)
{
	char *p = xasprintf("%s%s", *path == '/' ? "" : "/", path);
	size_t n = strlen(p);

	while (n > 1 && p[n - 1] == '/')
		p[--n] = '\0';
	return p;
}

static void answer(struct ipc_request *req, int r, json_t *take_result, const struct err *e)
{
	struct rootfs_result reply = {.result.json = take_result};

	if (r < 0)
		ipc_reply_error(req, e);
	else
		ipc_reply(req, &reply);
	json_decref(take_result);
}

static void on_rootfs_stat(struct ipc_request *req, struct rootfs_stat *m, struct worker *w)
{
	const struct ids ids = {m->base, m->size};
	AUTO_FREE char *path = absolute(m->path);
	json_t *result = NULL;
	struct err e = {0};

	(void)w;
	int r = enter(m->root, &ids, &e);
	if (r == 0)
		r = stat_path(path, &result, &e);
	answer(req, r, result, &e);
}

static void on_rootfs_get(struct ipc_request *req, struct rootfs_get *m, struct worker *w)
{
	const struct ids ids = {m->base, m->size};
	AUTO_FREE char *path = absolute(m->path);
	json_t *info = NULL;
	struct err e = {0};

	(void)w;
	int r = enter(m->root, &ids, &e);
	if (r == 0)
		r = stat_path(path, &info, &e);
	if (r == 0) {
		AUTO_FREE char *text = json_dumps(info, JSON_COMPACT);
		const char *slash = strrchr(path, '/');
		ipc_chunk(req, text, strlen(text));
		r = tar_write(m->tar, path, slash[1] ? slash + 1 : "/", false, &ids, &e);
	}
	fd_close(&m->tar);
	json_decref(info);
	answer(req, r, NULL, &e);
}

static void on_rootfs_export(struct ipc_request *req, struct rootfs_export *m, struct worker *w)
{
	const struct ids ids = {m->base, m->size};
	struct err e = {0};

	(void)w;
	int r = enter(m->root, &ids, &e);
	if (r == 0)
		r = tar_write(m->tar, "/", ".", true, &ids, &e);
	fd_close(&m->tar);
	answer(req, r, NULL, &e);
}

static void on_rootfs_put(struct ipc_request *req, struct rootfs_put *m, struct worker *w)
{
	const struct ids ids = {m->base, m->size};
	const struct put_options how = {m->keep_kinds, m->uid, m->gid};
	AUTO_FREE char *path = absolute(m->path);
	struct err e = {0};

	(void)w;
	int r = enter(m->root, &ids, &e);
	/* What reads and writes below is straight-line code. */
	if (r == 0 && fcntl(m->tar, F_SETFL, 0) < 0)
		r = err_sys(&e, -errno, "fcntl");
	if (r == 0)
		r = tar_unpack(m->tar, path, &how, &ids, &e);
	answer(req, r, NULL, &e);
}

static const struct ipc_handler handlers[] = {
	IPC_HANDLER(rootfs_stat, struct worker),
	IPC_HANDLER(rootfs_get, struct worker),
	IPC_HANDLER(rootfs_export, struct worker),
	IPC_HANDLER(rootfs_put, struct worker),
};

static void on_idle(void *arg)
{
	daemon_stop(&((struct worker *)arg)->daemon);
}

int main(int argc, char **argv)
{
	struct worker w = {0};
	struct err e = {0};

	daemon_init(&w.daemon, PROC_rootfs, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	daemon_confine(&w.daemon);
	umask(0);
	struct ipc_server_config config = {
		.self = PROC_rootfs,
		.listen_fd = -1,
		.ids_base = w.daemon.config->ids_base,
		.handlers = handlers,
		.nhandlers = ARRAY_LEN(handlers),
		.daemon = &w,
		.proc_fd = -1,
	};
	if (ipc_server_new(w.daemon.base, &config, &w.server, &e) < 0 ||
	    ipc_server_serve_fd(w.server, STEAL_FD(w.daemon.listen_fd), &e) < 0) {
		fprintf(stderr, "rootfs: %s\n", e.text);
		return 1;
	}
	ipc_server_on_idle(w.server, on_idle, &w);
	int code = daemon_run(&w.daemon);
	ipc_server_free(w.server);
	return code;
}
