/*
 * supervisor: the one struct of pouchd, and what its files do for each other.
 *
 *   main.c      from start to end
 *   lock.c      one engine a root and run directory
 *   sockets.c   the listening sockets
 *   spawn.c     one child process
 *   service.c   the daemons: start, ready, restart, stop
 *   worker.c    processes that live for one connection, or from the first one on
 *   notify.c    READY=1 of the children
 *   front.c     the certificates of a config, looked at before they count
 *   reload.c    config and policy, read again
 *   control.c   what `pouchd ctl` asks
 *   ctl.c       `pouchd ctl` itself
 */
#ifndef POUCH_POUCHD_SUPERVISOR_H
#define POUCH_POUCHD_SUPERVISOR_H

#include <event2/event.h>
#include <stdint.h>
#include <sys/time.h>

#include "ipc/process.h"
#include "lib/daemon_parts.h"
#include "lib/err.h"

struct channel;
struct config;
struct ipc_server;
struct ipc_request;
struct json_t;

#define LISTENERS_MAX 64
#define SERVICES      6
#define WORKER_KINDS  7

enum service_phase { SERVICE_DOWN, SERVICE_STARTING, SERVICE_READY, SERVICE_STOPPING };

struct service {
	struct supervisor *sup;
	enum process_id id;
	enum service_phase state;
	int listen_fd;	    /* -1: apid, which has the HTTP sockets */
	pid_t pid;	    /* 0: no process */
	int64_t started_ms; /* CLOCK_MONOTONIC */
	int64_t ready_ms;
	unsigned restarts; /* since pouchd started */
	unsigned failures; /* deaths before READY or soon behind it, in a row */
	int last_exit;	   /* wait status of the last process */
	bool exited;	   /* last_exit counts */
	struct channel *control;
	uint64_t next_id;		     /* of requests on it */
	char *report;			     /* service_state of the last process that was ready; JSON text */
	pid_t leaving;			     /* apid: its predecessor, which still ends what it has begun; 0: none */
	struct event *leaving_timer;	     /* gives it up */
	struct event *timer;		     /* by state: DOWN: start; STARTING, STOPPING: give up and kill */
	struct ipc_request *restart_request; /* `ctl restart` waits for READY */
};

struct worker_kind {
	struct supervisor *sup;
	enum process_id id;
	int listen_fd;
	unsigned running, max;
	uint64_t spawned, failed;
	bool present;
	bool resident; /* one process that accepts by itself, and outlives who has called it */
	struct event *acceptable;
	struct event *again; /* a resident one that died young: the next connection starts it after a pause */
	unsigned failures;   /* of those, in a row */
};

struct worker {
	pid_t pid;
	struct worker_kind *kind;
	int control; /* of a resident one: its end ends the process; else -1 */
	int64_t started_ms;
};

struct http_socket {
	int fd;
	char *path;  /* NULL: TCP, or not made here */
	bool passed; /* by who holds it (systemd): its path, owner and mode are the holder's, and a reload keeps it */
};

enum engine_phase { ENGINE_STARTING, ENGINE_READY, ENGINE_STOPPING };

struct supervisor {
	struct daemon_args args;
	char *programs; /* directory of the children's programs */
	struct event_base *base;
	struct config *config;
	int config_fd, policy_fd; /* sealed memfds; policy -1: there is no file */
	int lock_fd, run_lock_fd, notify_fd, notify_up_fd;
	enum engine_phase state;
	int64_t started_ms;
	int exit_code;
	struct http_socket http[LISTENERS_MAX];
	size_t nhttp;
	struct service services[SERVICES];
	struct worker_kind kinds[WORKER_KINDS];
	struct worker *workers;
	size_t nworkers;
	bool workers_due; /* they were told to end, and are killed when they take too long */
	struct event *child, *stop[2], *hangup, *notify;
	struct ipc_server *control;
	int control_fd;
	struct reload *reload; /* running, or NULL */
};

/* ---- lock.c ---- */

/*
 * Lock the root, or the run directory, for this engine. The root's descriptor goes to every child, so that it is free
 * only when the last one has ended. -EBUSY: another engine runs there. Waits for processes that a killed supervisor
 * has left.
 */
int lock_directory(const char *dir, struct err *e);

/* ---- sockets.c ---- */

/* A directory with its parents. The last one gets `mode`. */
int make_directory(const char *path, mode_t mode, struct err *e);
/* <run>/ipc/<name>.sock, SEQPACKET, bound; listening only when `present`: callers of a missing program are refused. */
int socket_ipc(const char *run, enum process_id id, bool present, struct err *e);
/* <run>/ipc/notify.sock */
int socket_notify(const char *run, struct err *e);
/* The HTTP sockets of the config; those that `passed` has by name are taken from there. */
int sockets_http(struct supervisor *s, const struct config *config, struct daemon_fd *passed, size_t npassed,
		 struct http_socket *out, struct err *e);
void sockets_http_close(struct http_socket *sockets, size_t n);

/* ---- spawn.c ---- */

struct spawn_fd {
	const char *name;
	int fd; /* borrowed; -1 is left out */
};

/* Start the program of `id` with these descriptors from 3 on. Returns its pid or -errno. */
pid_t spawn(const struct supervisor *s, enum process_id id, const struct spawn_fd *fds, size_t nfds, struct err *e);
/* Is the program there? */
bool spawn_present(const struct supervisor *s, enum process_id id);

/* ---- service.c ---- */

int services_init(struct supervisor *s, struct err *e);
/* Start what can be started now: the helpers, and apid once they are ready. */
void services_go_on(struct supervisor *s);
void services_stop(struct supervisor *s);
struct service *service_by_pid(struct supervisor *s, pid_t pid);
struct service *service_by_name(struct supervisor *s, const char *name);
void service_ready(struct service *v);
/* STOPPING=1: it takes no further work. */
void service_leaves(struct service *v);
/* `pid` is its process, or its leaving one. */
void service_exited(struct service *v, pid_t pid, int status);
/* End it and start it anew; its listening socket stays. */
void service_restart(struct service *v);
const char *service_state_name(enum service_phase state);

/* ---- worker.c ---- */

int workers_init(struct supervisor *s, struct err *e);
/* False: the pid is no worker's. */
bool worker_exited(struct supervisor *s, pid_t pid, int status);
/* Ends those that end with the engine; returns how many there still are. */
size_t workers_stop(struct supervisor *s);

/* ---- notify.c ---- */

int notify_init(struct supervisor *s, struct err *e);

/* ---- front.c ---- */

/* 0, or what is wrong with the certificates and keys that its listeners name. Waits for a process. */
int front_check(const struct supervisor *s, const struct config *config, int config_fd, struct err *e);

/* ---- reload.c ---- */

/* Read the files and put them into memfds. */
int settings_read(struct supervisor *s, struct config **config, int *config_fd, int *policy_fd, struct err *e);
/* `req` may be NULL (SIGHUP): then the outcome is only logged. */
void reload_start(struct supervisor *s, struct ipc_request *req);
/* An answer of a service to service_reload; NULL: it has taken it. */
void reload_answered(struct service *v, const struct err *e);

/* ---- control.c ---- */

int control_init(struct supervisor *s, struct err *e);

/* ---- main.c ---- */

/* The first time that everything is ready. */
void supervisor_ready(struct supervisor *s);
/* Everything has ended: leave the event loop. */
void supervisor_done(struct supervisor *s);

/* ---- ctl.c ---- */

int ctl_main(int argc, char **argv);

#endif
