/*
 * worker: what a process that serves one connection, and ends with it, does behind its sandbox.
 *
 *   int main(int argc, char **argv)
 *   {
 *           struct worker w = {0};
 *           daemon_init(&w.daemon, PROC_log, argc, argv);
 *           daemon_confine(&w.daemon);
 *           return daemon_worker(&w.daemon, handlers, ARRAY_LEN(handlers), NULL, &w);
 *   }
 */
#ifndef POUCH_LIB_WORKER_H
#define POUCH_LIB_WORKER_H

#include "ipc/server.h"
#include "lib/daemon.h"

/*
 * Serve the connected socket d->listen_fd, which it takes, until daemon_stop(). `worker` is handed to the handlers.
 * `idle`, with `worker`, when the peer has gone; NULL: the worker ends then. Returns the exit code for main().
 */
int daemon_worker(struct daemon *d, const struct ipc_handler *handlers, size_t nhandlers, void (*idle)(void *worker),
		  void *worker);

#endif
