/*
 * launch: a container's processes and files: from a record to a running container and back.
 *
 * runtimed's records, policy, API and database know containers; this room knows bundles, namespaces,
 * mounts, cgroups, shims and the OCI runtime. It keeps no record: what it is told in a `launch_spec` is
 * all that it knows, and after a restart of runtimed it is told again (launch_reattach()).
 *
 * A start:
 *   launch_start()   makes the user and network namespaces, clones and idmaps the mounts, starts the shim
 *   → prepared()     the network namespace's descriptor is there: have netd configure it, then
 *   launch_go()      with the contents of /etc/hosts and /etc/resolv.conf; the runtime is run
 *   → started() or failed()
 *   → exited()       once, also when the shim was killed or runtimed was not there
 * Callbacks come from the event loop, never from inside the function that asked.
 *
 * State of a container:
 *   <state>/ID/      upper, work, files/{hostname,hosts,resolv.conf}, log/ID-json.log…   durable
 *   <run>/c/ID/      shim.sock, exit and the like of the present run                     gone after a reboot
 */
#ifndef POUCH_RUNTIMED_LAUNCH_H
#define POUCH_RUNTIMED_LAUNCH_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"

struct launch;	   /* one a daemon */
struct launch_run; /* a container between launch_start() or launch_reattach() and failed() or exited() */

/* ---- the room itself ---- */

struct launch_runtime {
	const char *name;	 /* as in HostConfig.Runtime: "crun" */
	const char *path;	 /* "/usr/bin/crun" */
	const char *const *args; /* go before the command; NULL-ended, or NULL */
	bool bpf_annotation;	 /* takes filters as the annotation run.oci.seccomp_bpf_data, as crun does */
};

struct launch_config {
	struct event_base *base;
	int state_dir;		    /* descriptor of the directory with one directory a container, 0700; borrowed */
	const char *run_dir;	    /* absolute path of <run>/runtimed, exists, 0700 */
	int layers_dir;		    /* descriptor of imaged's layer store; borrowed */
	const char *shim;	    /* path of the program shim */
	const char *rootfs_socket;  /* <run>/ipc/rootfs.sock: connecting spawns a worker */
	const char *log_socket;	    /* <run>/ipc/log.sock: the same */
	uid_t ids_base;		    /* of the config: whose uids the engine's processes have */
	uid_t shim_uid;		    /* uid and gid of a shim once the container runs */
	const char *cgroup_parent;  /* "/pouch": where containers without CgroupParent go */
	bool cgroup_parent_derived; /* its name is this engine's own, not one that the admin has chosen */
	const struct launch_runtime *runtimes; /* the first is the default */
	size_t nruntimes;
	const char *init;		 /* tini or catatonit, for HostConfig.Init; NULL: refused at check */
	const char *seccomp_profile;	 /* default profile; NULL: /usr/share/containers/seccomp.json */
	const char *apparmor;		 /* default AppArmor profile's name, NULL for none */
	int64_t pids_limit;		 /* for containers without PidsLimit; 0: none */
	const char *const *capabilities; /* of a container before CapAdd and CapDrop, without CAP_ */
	size_t ncapabilities;
	bool no_new_privileges; /* unless the container says no-new-privileges=false */
	uint64_t shm_size;	/* where ShmSize is not given; 0: 64 MiB */
	uint64_t log_max_size;	/* of log files without max-size, max-file; 0: 10 MiB, 3 */
	unsigned log_max_file;
	uint64_t log_quota; /* bytes of all log files together; 0: no bound */
	/* The last look at a container's files while it did not run has ended: launch_viewed() is false now. */
	void (*view_ended)(void *arg, const char *id);
	/* What launch_find() was to find. */
	void (*found)(void *arg);
	/* launch_leaving() is false now. */
	void (*left)(void *arg, const char *id);
	void *arg;
};

/* Everything pointed to must outlive the room. */
int launch_new(const struct launch_config *config, struct launch **out, struct err *e);
/* Others from here on; the directories, ids and the base must be the same. */
void launch_reconfigure(struct launch *l, const struct launch_config *config);
/* Lets go of all shims; containers run on. */
void launch_free(struct launch *l);

/* What is hidden and what is read-only below /proc and /sys unless the container says otherwise: a reference, not to be
 * changed. */
json_t *launch_masked_paths(void);
json_t *launch_readonly_paths(void);

/* ---- what a container is ---- */

/* A range of host ids: container id 0 is host id `base`. size 0: the host's own ids, no user namespace. */
struct launch_ids {
	uint32_t base;
	uint32_t size;
};

/* How mounts made later on the host appear in a bind, mount(8). */
enum launch_propagation { LAUNCH_RPRIVATE, LAUNCH_PRIVATE, LAUNCH_RSLAVE, LAUNCH_SLAVE, LAUNCH_RSHARED, LAUNCH_SHARED };

/* A bind or a volume: from a descriptor that has been resolved and checked, never from a path. */
struct launch_mount {
	const char *destination; /* absolute path in the container, as asked */
	int source;		 /* O_PATH descriptor, of launch_open_source() or of volumed; borrowed */
	bool read_only;
	bool top_only;	/* read_only does not reach submounts */
	bool recursive; /* submounts too (Docker's rbind, the default) */
	enum launch_propagation propagation;
	bool plain;	  /* do not idmap although the container has a range (config allows it, with a Warning) */
	const char *name; /* for messages: the source as the user wrote it */
};

/* What LogConfig comes to, beside what launch reads from it. */
struct launch_log {
	json_t *attributes; /* object of texts that stand beside each line; NULL or empty: none */
	json_t *setup;	    /* what a log worker is told (ipc/log.def); NULL: the driver has none */
};

/*
 * All borrowed during the call that takes it. The documents are canonical (ipc/schema.h); `config` is what
 * Docker stores as Config: the image's and the client's merged.
 */
struct launch_spec {
	const char *id;		   /* 64 hexadecimal digits */
	uint64_t start;		   /* the start's number */
	const json_t *config;	   /* ContainerConfig */
	const json_t *host;	   /* HostConfig with Resources */
	const char *const *layers; /* names below layers_dir, lowest first */
	size_t nlayers;
	struct launch_ids ids;
	const struct launch_mount *mounts; /* binds, volumes, VolumesFrom: all but tmpfs, which is read from `host` */
	size_t nmounts;
	/*
	 * Namespaces of other containers (`container:X` of NetworkMode, IpcMode, PidMode) from launch_namespace(),
	 * -1 when not joined; borrowed. With any of them `userns` is X's user namespace and `ids` its range.
	 */
	int join_net, join_ipc, join_pid, join_uts;
	int userns;
	const char *files_of;	      /* id of the container whose network, and so whose hosts, hostname and
					 resolv.conf it has; NULL: its own */
	int join_shm;		      /* with join_ipc: X's /dev/shm, from launch_shared_memory(); borrowed */
	const struct launch_log *log; /* NULL: as without LogConfig's labels, env and tag; borrowed */
	const char *log_path_name; /* file name of the json-file or local log in <state>/ID/log; NULL: "ID-json.log" */
};

/* Make <state>/ID with upper and work, durable when it returns; part of create. -EEXIST. */
int launch_create(struct launch *l, const struct launch_spec *spec, struct err *e);

/*
 * Everything in the documents that this host, kernel or configuration cannot do: 400 (or -EPERM) with the
 * field's name and the reason. What is done in part (clamped limits, OOM score) is appended to `warnings`, an array
 * of strings. Nothing is changed.
 */
int launch_check(struct launch *l, const struct launch_spec *spec, json_t *warnings, struct err *e);
/* A target as it is meant: without "//", "/./" and a "/" at the end, ".." taken as written; the caller's to free. */
char *launch_clean_target(const char *path);
/*
 * The same for one mount of a container with these ids; `source` -1 when it is not there yet. -EOPNOTSUPP with 400 when
 * its file system cannot be idmapped, and a plain bind could be made of it instead.
 */
int launch_check_mount(const struct launch_ids *ids, const struct launch_mount *m, struct err *e);
/* The limits of a HostConfig alone, for an update. */
int launch_check_limits(const json_t *host, json_t *warnings, struct err *e);

/*
 * Resolve a bind source as the host's root sees it (openat2, no magic links, O_PATH). `real` gets the resolved path,
 * for policy. Returns the descriptor. -ENOENT; with `create` a missing directory is made, as Binds does.
 */
int launch_open_source(const char *path, bool create, char *real, size_t size, struct err *e);

/*
 * NULL: mounts can be idmapped here (kernel 5.19 or newer, state and layers on a file system that can, no chroot).
 * Otherwise why not: containers have the ids of the host.
 */
const char *launch_cannot_idmap(const struct launch *l);

/* ---- start, exit ---- */

struct launch_exit {
	int code;	     /* 0–255; 128 + signal when killed by one */
	int signal;	     /* 0 when it ended by itself */
	bool oom;	     /* the kernel's OOM killer was in its cgroup */
	int64_t finished_at; /* nanoseconds since 1970 */
	const char *error;   /* State.Error: set when the shim died ("killed with code 137"), else "" */
};

struct launch_events {
	/* netns: borrowed descriptor, -1 with the host's or another container's. Answer with launch_go() or
	 * launch_cancel(). */
	void (*prepared)(void *arg, struct launch_run *run, int netns);
	/* The init process runs. Times in nanoseconds since 1970. */
	void (*started)(void *arg, struct launch_run *run, pid_t pid, int64_t started_at);
	/*
	 * It never ran; everything of the attempt is gone, and `run` is freed after this returns. exit_code: 127
	 * command not found, 126 cannot be invoked, 128 else (what Docker records in State.ExitCode).
	 */
	void (*failed)(void *arg, struct launch_run *run, const struct err *e, int exit_code);
	/* It ran and has ended; its processes, cgroup and mounts are gone. `run` is freed after this returns. */
	void (*exited)(void *arg, struct launch_run *run, const struct launch_exit *x);
};

/*
 * Begin a start. *out is valid until failed() or exited() has returned. `events` is static, `arg` the caller's.
 * -EALREADY while a run of this id exists.
 */
int launch_start(struct launch *l, const struct launch_spec *spec, const struct launch_events *events, void *arg,
		 struct launch_run **out, struct err *e);

/* What netd gave for the container; NULL: files that say only localhost and the host's own resolv.conf. */
struct launch_network_files {
	const char *hosts;
	const char *resolv_conf;
};

/* After prepared(): run the container. */
void launch_go(struct launch_run *run, const struct launch_network_files *files);
/*
 * The files of a running container from `old` to `files`, in place, since they are mounted. Lines that the container
 * has added to hosts stay; a resolv.conf that is not `old`'s any more is its own, and stays. Members may be NULL: left
 * alone.
 */
int launch_network_files_update(struct launch_run *run, const struct launch_network_files *old,
				const struct launch_network_files *files, struct err *e);
/* Before started(): give up; failed() follows with -ECANCELED. */
void launch_cancel(struct launch_run *run);

/*
 * After a restart of runtimed, for every container that the database calls running: find its shim. exited() follows
 * when it has ended meanwhile (or its shim was killed: 137); otherwise started() follows with pid and time as they
 * were. `spec` needs id, host, ids, log only.
 */
int launch_reattach(struct launch *l, const struct launch_spec *spec, const struct launch_events *events, void *arg,
		    struct launch_run **out, struct err *e);
/* The number of the start that has left the newest traces; 0: none has. */
uint64_t launch_last_start(const struct launch *l, const char *id);
/*
 * The same for a start that was cut by the end of runtimed: started() follows when the container runs after all,
 * exited() when it has run, and failed() when it never will.
 */
int launch_adopt(struct launch *l, const struct launch_spec *spec, const struct launch_events *events, void *arg,
		 struct launch_run **out, struct err *e);
/*
 * After all of them. found() comes, once, from the event loop, when every shim has said how things are, or is slow to:
 * it is stopped, or the machine is. The loop serves others meanwhile.
 */
void launch_find(struct launch *l);
/* For who cannot wait for that: exited() comes from within for those whose shims have written that they have ended. */
void launch_find_ended(struct launch *l);

/*
 * After all launch_reattach() calls: end shims and cgroups, and remove run directories, that nobody has claimed; and
 * the files of containers that are not known.
 */
typedef bool (*launch_known)(void *arg, const char *id);
void launch_sweep(struct launch *l, launch_known known, void *arg);

/* Processes of an earlier run, killed, are about to end: a start has to wait for that. */
bool launch_leaving(const struct launch *l, const char *id);

/* Its process has ended; exited() is on its way. */
bool launch_ended(const struct launch_run *run);
const char *launch_id(const struct launch_run *run);

/* ---- a running container ---- */

/* To the init process, by pidfd. -ESRCH when it has ended. */
int launch_signal(struct launch_run *run, int sig, struct err *e);
/* SIGKILL to every process of the cgroup, thawing it first. */
int launch_kill_all(struct launch_run *run, struct err *e);
/* Paused for its user: see launch_hold_end(). */
bool launch_paused(const struct launch_run *run);
int launch_unpause(struct launch_run *run, struct err *e);
/* Frozen processes take no signal: they go on, for whomever they are held. */
void launch_wake(struct launch_run *run);

struct launch_hold;
/*
 * All processes are frozen; or, with `e`, they are not and will not be, and the hold is gone: they do not freeze, they
 * were woken (409), or the container has ended (-ESRCH).
 */
typedef void (*launch_frozen)(void *arg, const struct err *e);
/*
 * Freeze it, perhaps for more than one at once. `done` comes once, from the event loop, unless the hold is ended
 * before. A runtimed that finds it held after a restart lets it go on.
 */
int launch_hold(struct launch_run *run, launch_frozen done, void *arg, struct launch_hold **out, struct err *e);
/*
 * At any time, also after the run. The last hold lets the processes go on; with `stay` they are paused from now on,
 * whatever becomes of other holds.
 */
void launch_hold_end(struct launch_hold *h, bool stay);
/* Write the limits of `host` (the whole new HostConfig) to the cgroup. Nothing or all: on failure the old ones are
 * back. */
int launch_update(struct launch_run *run, const json_t *old_host, const json_t *host, struct err *e);
int launch_resize(struct launch_run *run, unsigned rows, unsigned columns, struct err *e);
/* Descriptor of a namespace of the init process, "net" "ipc" "pid" "uts" "user" "mnt"; the caller's to close. */
int launch_namespace(const struct launch_run *run, const char *name, struct err *e);
/* Its /dev/shm as a detached clone; the caller's to close. */
int launch_shared_memory(const struct launch_run *run, struct err *e);
/* Pids of all processes, in the host's numbering; *pids is the caller's to free. Returns the count. */
ssize_t launch_pids(const struct launch_run *run, pid_t **pids, struct err *e);
/* /proc/PID of one of them, the caller's to close: it stays that process. -ESRCH when the number is a stranger's. */
int launch_process(const struct launch_run *run, pid_t pid);
/* Docker's stats object (read, pids_stats, blkio_stats, cpu_stats, memory_stats, networks); a new reference. */
int launch_stats(struct launch_run *run, json_t **out, struct err *e);

/* ---- streams ---- */

struct launch_attach {
	bool in, out, err;	 /* which streams */
	bool logs;		 /* first what was logged so far */
	bool stream;		 /* then what comes; without it the stream ends after the logs */
	bool raw;		 /* without Docker's frames, as a terminal's */
	const char *detach_keys; /* "ctrl-p,ctrl-q"; NULL: the default; "" none */
};

/* -EINVAL with a text for detach keys that Docker would refuse. */
int launch_detach_keys_check(const char *keys, struct err *e);

/*
 * The shim speaks the stream from now on: raw for a terminal or when asked, Docker's 8-byte frames otherwise. `early`:
 * bytes that the client has sent already. May be called from prepared() on (before launch_go(): attach, then start,
 * loses nothing).
 */
int launch_attach(struct launch_run *run, const struct launch_attach *how, int take_stream, const void *early,
		  size_t len, struct err *e);

struct launch_exec; /* from launch_exec() until ended() */

struct launch_exec_spec {
	const char *id;	    /* of the exec, 64 hexadecimal digits */
	const json_t *exec; /* ExecConfig as given: Cmd, Env, User, WorkingDir, Tty, Privileged, Attach*, DetachKeys */
	const json_t *config; /* ContainerConfig and HostConfig of the container */
	const json_t *host;
	bool detach;		/* no stream; output is dropped */
	unsigned rows, columns; /* ConsoleSize, 0 for none */
};

struct launch_exec_events {
	void (*started)(void *arg, struct launch_exec *x, pid_t pid);
	/* The command could not be run (126, 127) or the exec could not be made; freed after this returns. */
	void (*failed)(void *arg, struct launch_exec *x, const struct err *e, int exit_code);
	void (*ended)(void *arg, struct launch_exec *x, int exit_code);
};

/* An exec will probably be asked for at once: what it has to wait for begins. */
void launch_exec_expect(struct launch_run *run);
/*
 * Run a command in a running container. `take_stream` -1 with detach. The stream's bytes before the command runs are
 * kept. A failure after the client was told 101 is also written to the stream as Docker does (stderr frame, or raw).
 */
int launch_exec(struct launch_run *run, const struct launch_exec_spec *spec, int take_stream, const void *early,
		size_t len, const struct launch_exec_events *events, void *arg, struct launch_exec **out,
		struct err *e);
int launch_exec_resize(struct launch_exec *x, unsigned rows, unsigned columns, struct err *e);
/* Its process, when it runs; exited() follows. */
void launch_exec_kill(struct launch_exec *x);
/* After a restart of runtimed: as launch_reattach(). -ENOENT when no trace of it is left. */
int launch_exec_reattach(struct launch_run *run, const char *exec_id, const struct launch_exec_events *events,
			 void *arg, struct launch_exec **out, struct err *e);

/* ---- files: each runs in a rootfs worker of its own ---- */

struct launch_files; /* a request in progress, until done() */

struct launch_files_events {
	/*
	 * Answers that stream: the bytes come through `pipe` (STEAL_FD to keep), `info` is the path's stat object or
	 * NULL. done() follows when the worker has written everything.
	 */
	void (*stream)(void *arg, json_t *info, int *pipe);
	/* The end, exactly once unless cancelled; `result` borrowed, NULL when there is none or it failed (`e`). */
	void (*done)(void *arg, json_t *result, const struct err *e);
};

/* Which root: the running container's (run not NULL) or the stopped one's, mounted for the purpose from `spec`. */
struct launch_root {
	struct launch *launch;
	const struct launch_spec *spec;
	struct launch_run *run;
};

/*
 * Are a stopped container's files mounted for such a request? Then it must not be started: two mounts of one overlay
 * would not know of each other's changes.
 */
bool launch_viewed(const struct launch *l, const char *id);

/* {"name","size","mode","mtime","linkTarget"} as Docker's X-Docker-Container-Path-Stat. 404 when there is no such path.
 */
int launch_archive_head(const struct launch_root *root, const char *path, const struct launch_files_events *ev,
			void *arg, struct launch_files **out, struct err *e);
/* A tar of the path through stream(), with its stat. */
int launch_archive_get(const struct launch_root *root, const char *path, const struct launch_files_events *ev,
		       void *arg, struct launch_files **out, struct err *e);
/* Unpack a tar (any of plain, gzip, bzip2, xz as the spec says) from `tar`, borrowed, into the directory `path`. */
int launch_archive_put(const struct launch_root *root, const char *path, int tar, bool no_overwrite_dir_non_dir,
		       bool copy_uid_gid, const struct launch_files_events *ev, void *arg, struct launch_files **out,
		       struct err *e);
/* The whole root as a tar through stream(). */
int launch_export(const struct launch_root *root, const struct launch_files_events *ev, void *arg,
		  struct launch_files **out, struct err *e);
/* [{"Path","Kind"}]: what the container changed in its image. */
int launch_changes(const struct launch_root *root, const struct launch_files_events *ev, void *arg,
		   struct launch_files **out, struct err *e);
/* The changes as a layer's tar (OCI whiteouts) through stream(); ids as in the image. Pausing is the caller's. */
int launch_commit_tar(const struct launch_root *root, const struct launch_files_events *ev, void *arg,
		      struct launch_files **out, struct err *e);
/* {"SizeRw": bytes of the upper directory}. */
int launch_size(const struct launch_root *root, const struct launch_files_events *ev, void *arg,
		struct launch_files **out, struct err *e);
/*
 * Copy what the image has at `path` into the empty directory `target` (a new volume's, borrowed) with owners and modes,
 * the directory's own included; nothing when the image has none there or `target` is not empty.
 */
int launch_copy_up(const struct launch_root *root, const char *path, int target, const struct launch_files_events *ev,
		   void *arg, struct launch_files **out, struct err *e);
/* No more events; the worker is told to end, and what is mounted for it stays until it has. */
void launch_files_cancel(struct launch_files *f);

/* ---- logs and removal ---- */

/*
 * Open log file number `n` (0: the present one, 1, 2…: rotated, older) of a container; -ENOENT when there is none.
 * Lines are Docker's json-file lines. `compressed` tells that it is gzip.
 */
int launch_log_open(struct launch *l, const char *id, unsigned n, bool *compressed, struct err *e);

/* Remove <state>/ID and everything of earlier runs. The container must not run (-EBUSY). Repeatable. */
int launch_remove(struct launch *l, const char *id, struct err *e);

#endif
