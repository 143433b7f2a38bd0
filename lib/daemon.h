/*
 * daemon: what every process of the engine does first and last: arguments, config, log, event
 * loop, LISTEN_FDS, signals, sandbox, READY=1 (sd_notify(3)), orderly end.
 *
 *   int main(int argc, char **argv)
 *   {
 *           struct daemon d;
 *           daemon_init(&d, PROC_imaged, argc, argv);     exits with a message on failure
 *           ... open what the sandbox will forbid ...
 *           daemon_confine(&d);                           the profile of sandbox/profiles; exits on failure
 *           ... serve on d.listen_fd ...
 *           return daemon_run(&d);                        READY=1, loop until SIGTERM
 *   }
 */
#ifndef POUCH_LIB_DAEMON_H
#define POUCH_LIB_DAEMON_H

#include <event2/event.h>
#include <signal.h>

#include "ipc/process.h"
#include "lib/err.h"

struct config;

struct daemon {
	enum process_id id;
	struct event_base *base;
	struct config *config;	/* lib/config.h; replaced on reload */
	const char *root;	/* --root: state of this process is below <root>/<name> */
	const char *run;	/* --run: sockets below <run>/ipc */
	const char *config_path; /* --config, NULL without */
	int root_fd;		/* <root>/<name>, opened before the sandbox (O_DIRECTORY|O_CLOEXEC), -1 for none */
	int listen_fd;		/* fd 3 when LISTEN_FDS=1: its listening socket (daemon) or connected socket (worker) */
	int notify_fd;		/* connected to NOTIFY_SOCKET, -1 without */
	int proc_fd;		/* /proc, opened before the sandbox when the profile says so, else -1 */
	struct event *signals[3];
	void (*reload)(struct daemon *d, void *arg); /* SIGHUP: the config has been read again and is good */
	void (*stop)(struct daemon *d, void *arg);   /* SIGTERM: end when done by daemon_stop(); NULL: at once */
	void *arg;
};

void daemon_init(struct daemon *d, enum process_id id, int argc, char **argv);
void daemon_confine(struct daemon *d);
int daemon_run(struct daemon *d);
void daemon_stop(struct daemon *d);

/* Path of another process's socket as this process sees it (static storage). */
const char *daemon_socket_path(const struct daemon *d, enum process_id peer);

#endif
