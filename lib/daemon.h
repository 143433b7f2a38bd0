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
 *
 * Descriptors come as systemd gives them (sd_listen_fds(3): LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES), from systemd
 * or from pouchd. These names mean something:
 *   config, policy   sealed memfds with the checked text of pouch.json and policy.json; without them the files are read
 *   control          SEQPACKET connection to the supervisor: service_reload and service_status (ipc/common.def) come
 *                    in here; its end means that the supervisor is gone, and the process ends too
 *   lock             the lock of the root: held until the last process that has it has ended
 *   http-N           apid: the listening socket of the config's listener N
 *   anything else    its own listening socket (daemon) or connected socket (worker)
 */
#ifndef POUCH_LIB_DAEMON_H
#define POUCH_LIB_DAEMON_H

#include <event2/event.h>
#include <signal.h>

#include "ipc/process.h"
#include "lib/err.h"
#include "lib/sandbox/sandbox.h"

struct config;
struct channel;
struct ipc_client;

#define DAEMON_FDS_MAX	      72
#define DAEMON_DEFAULT_ROOT   "/var/lib/pouch"
#define DAEMON_DEFAULT_RUN    "/run/pouch"
#define DAEMON_DEFAULT_CONFIG "/etc/pouch/pouch.json"

/* Text of a file, with a NUL behind it. */
struct daemon_text {
	char *text; /* NULL: there is no such file */
	size_t len;
};

struct daemon_fd {
	char name[32];
	int fd; /* set to -1 by who takes it */
};

struct daemon {
	enum process_id id;
	struct event_base *base;
	struct config *config;	   /* lib/config.h; replaced on reload */
	struct daemon_text policy; /* policy.json; NULL text: the built-in policy; replaced on reload */
	const char *root;	   /* --root: state of this process is below <root>/<name> */
	const char *run;	   /* --run: sockets below <run>/ipc */
	const char *config_path;   /* --config, NULL without */
	const char *const *sets;   /* --set, for the next reading of the file */
	size_t nsets;
	int root_fd;	/* <root>/<name>, opened before the sandbox (O_DIRECTORY|O_CLOEXEC), -1 for none */
	int listen_fd;	/* its listening socket (daemon) or connected socket (worker); -1 without */
	int notify_fd;	/* connected to NOTIFY_SOCKET, -1 without */
	int proc_fd;	/* /proc, opened before the sandbox when the profile says so, else -1 */
	int control_fd; /* to the supervisor, -1 without; daemon_run() takes it */
	struct daemon_fd fds[DAEMON_FDS_MAX]; /* every passed descriptor, by name */
	size_t nfds;
	struct sandbox_report sandbox; /* what daemon_confine() has made; for service_state */
	bool confined;		       /* daemon_confine() is done */
	bool stopping;
	int exit_code; /* of daemon_run() */
	struct event *signals[3];
	struct channel *control;
	/*
	 * The config and the policy have been read again and are good: d->config and d->policy are the new ones. The
	 * old config is freed after the call, so nothing may point into it any longer.
	 */
	void (*reload)(struct daemon *d, void *arg);
	void (*stop)(struct daemon *d, void *arg);	 /* SIGTERM: end when done by daemon_stop(); NULL: at once */
	int (*loop)(struct event_base *base, void *arg); /* NULL: event_base_dispatch(3) */
	void *arg;
};

/*
 * Everything up to the sandbox. --root, --run, --config, --log-level, --set KEY=VALUE; --version and --help end the
 * process with 0. A failure is said on stderr and ends it with 1, wrong usage with 2.
 */
void daemon_init(struct daemon *d, enum process_id id, int argc, char **argv);
/* Enter the process's sandbox (lib/sandbox/). A process that cannot be confined does not run. */
void daemon_confine(struct daemon *d);
/* READY=1, then events until daemon_stop(). Returns the exit code for main(). */
int daemon_run(struct daemon *d);
/* End daemon_run() after the running callback. */
void daemon_stop(struct daemon *d);

/* Borrow the passed descriptor of that name; -1 when there is none. */
int daemon_fd(const struct daemon *d, const char *name);

/* Does the process keep state, in a directory of its own below the root? */
bool daemon_has_state(enum process_id id);

/* What is to be said about this process: {"Name","Pid","Sandbox":{…}}; a fresh reference. */
struct json_t *daemon_state_json(const struct daemon *d);

/* Path of another process's socket as this process sees it (static storage). */
const char *daemon_socket_path(const struct daemon *d, enum process_id peer);
/* A client of another process, on that socket; the caller's. `max_calls`: as in ipc/client.h, 0 for the usual. */
struct ipc_client *daemon_client(const struct daemon *d, enum process_id peer, unsigned max_calls);

/*
 * Create (when missing) and open <root>/<name of id>, mode 0700, owned by the ids that the process runs with.
 * Returns the descriptor or -errno; -EPERM when the directory is somebody else's, as after a change of ids.base.
 */
int daemon_state_dir(const char *root, enum process_id id, uid_t ids_base, struct err *e);

#endif
