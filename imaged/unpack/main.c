/*
 * image-unpack: the side of imaged with file power and without network: unpacks one layer, takes one archive apart or
 * puts one together, removes one layer's files. It gets descriptors of what it works on, and reaches nothing else.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "imaged/unpack/worker.h"
#include "lib/config.h"
#include "lib/log.h"
#include "lib/sandbox/sandbox.h"
#include "lib/tree.h"

int worker_narrow(int dir, int other, struct err *e)
{
	struct sandbox_narrow to = {
		.dirs = {dir, other},
		.ndirs = (size_t)(dir >= 0) + (size_t)(other >= 0),
		.fsuid = (uid_t)-1,
		.fsgid = (gid_t)-1,
	};
	struct sandbox_report report = {0};

	return sandbox_narrow(PROC_image_unpack, &to, &report, e);
}

void worker_progress(void *arg, uint64_t bytes)
{
	char text[24];
	int n = snprintf(text, sizeof text, "%" PRIu64, bytes);

	/* Without credit nobody looks. */
	ipc_chunk(arg, text, (size_t)n);
}

void on_layer_remove(struct ipc_request *req, struct layer_remove *m, struct worker *w)
{
	struct err e = {0};

	(void)w;
	if (worker_narrow(m->dir, -1, &e) < 0 || tree_remove(m->dir, m->name, NULL, &e) < 0)
		ipc_reply_error(req, &e);
	else
		ipc_reply_done(req);
}

void on_store_sync(struct ipc_request *req, struct store_sync *m, struct worker *w)
{
	(void)w;
	if (syncfs(m->dir) < 0) {
		struct err e;
		err_sys(&e, -errno, "sync the store");
		ipc_reply_error(req, &e);
		return;
	}
	ipc_reply_done(req);
}

static const struct ipc_handler handlers[] = {
	IPC_HANDLER(layer_unpack, struct worker),   IPC_HANDLER(layer_verify, struct worker),
	IPC_HANDLER(layer_compress, struct worker), IPC_HANDLER(layer_remove, struct worker),
	IPC_HANDLER(archive_split, struct worker),  IPC_HANDLER(archive_join, struct worker),
	IPC_HANDLER(store_sync, struct worker),
};

int main(int argc, char **argv)
{
	struct worker w = {.watch = -1};

	daemon_init(&w.daemon, PROC_image_unpack, argc, argv);
	daemon_confine(&w.daemon);
	umask(077);
	w.watch = w.daemon.listen_fd;
	return daemon_worker(&w.daemon, handlers, ARRAY_LEN(handlers), NULL, &w);
}
