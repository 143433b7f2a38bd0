#include "lib/worker.h"

#include "lib/config.h"
#include "lib/fd.h"
#include "lib/log.h"

static void end(void *arg)
{
	daemon_stop(arg);
}

int daemon_worker(struct daemon *d, const struct ipc_handler *handlers, size_t nhandlers, void (*idle)(void *worker),
		  void *worker)
{
	const struct ipc_server_config config = {
		.self = d->id,
		.listen_fd = -1,
		.ids_base = d->config->ids_base,
		.handlers = handlers,
		.nhandlers = nhandlers,
		.daemon = worker,
		.proc_fd = -1,
	};
	struct ipc_server *server;
	struct err e;

	if (ipc_server_new(d->base, &config, &server, &e) < 0) {
		log_error("%s", e.text);
		return 1;
	}
	if (ipc_server_serve_fd(server, STEAL_FD(d->listen_fd), &e) < 0) {
		log_error("%s", e.text);
		ipc_server_free(server);
		return 1;
	}
	ipc_server_on_idle(server, idle ? idle : end, idle ? worker : d);
	const int code = daemon_run(d);
	ipc_server_free(server);
	return code;
}
