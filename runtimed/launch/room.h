/* room: the inside of launch: what its files share. launch.h is for everybody else. */
#ifndef POUCH_RUNTIMED_LAUNCH_ROOM_H
#define POUCH_RUNTIMED_LAUNCH_ROOM_H

#include <sys/queue.h>

#include "runtimed/launch/launch.h"
#include "runtimed/launch/wire.h"
#include "runtimed/table.h"

#define ID_CHARS 64

LIST_HEAD(launch_runs, launch_run);
LIST_HEAD(launch_execs, launch_exec);

struct logger;
struct seccomp_cache;
struct ahead;
struct trash;
struct runtime_copies;

struct orphan {
	LIST_ENTRY(orphan) link;
	pid_t pid;
	int pidfd;
	struct event *gone;
};

LIST_HEAD(orphans, orphan);
LIST_HEAD(launch_views, launch_view);
LIST_HEAD(launch_leftovers, leftovers);
TAILQ_HEAD(launch_holds, launch_hold);
TAILQ_HEAD(launch_lookups, launch_run);

struct launch {
	struct launch_config c;
	int run_dir;	       /* <run> */
	int runs_dir;	       /* <run>/c */
	char *runtime_root;    /* <run>/rt: the OCI runtime's state */
	char *no_idmap;	       /* why mounts cannot be idmapped */
	bool own_parent;       /* the cgroup of all containers is the engine's: it goes when it is empty at the end */
	uint64_t capabilities; /* what the engine itself can give */
	const char *stages[8]; /* directories that a private mount namespace may cover */
	size_t nstages;
	struct launch_runs runs;
	struct table by_id; /* the same */
	struct launch_views views;
	struct launch_leftovers leftovers;
	struct finding *finding;
	struct orphans orphans; /* shims that serve their clients' last bytes */
	struct seccomp_cache *seccomp;
	struct trash *trash;
	struct ahead *ahead;
	int shim_filter; /* the program of calls that a shim enters */
	struct runtime_copies *copies;
	/*
	 * A file system that is mounted nowhere, where shims make null devices: one for all, since the end of a mount
	 * waits for the kernel, in every start. -1: this engine may not make any.
	 */
	int nulls;
};

/*
 * What is open as long as a container runs gets a number from here on: a child that becomes a shim copies the numbers
 * below, and a start costs the same however many run.
 */
#define KEPT_FDS 1024

/* The same descriptor in that place; as it is where the limit of descriptors has no room there. */
int fd_keep(int take_fd);

/* A shim from our side: its socket, its process. */
struct launch_shim {
	struct launch *launch;
	int control;
	struct event *readable;
	pid_t pid; /* 0: not our child */
	int pidfd;
	struct event *gone;
	/* `head` NULL: the shim has ended. Descriptors that are taken are set to -1. */
	void (*on)(void *arg, const struct wire_head *head, char *text, size_t len, int fds[WIRE_FDS_MAX]);
	void *arg;
	bool *freed; /* set while its callback runs */
};

/* ---- shim.c ---- */

/* PREPARE's text and the descriptors that go with it. */
struct shim_settings {
	char *text;
	size_t len, capacity;
	int *fds;
	size_t nfds;
	int *owned; /* closed by settings_free() */
	size_t nowned;
};

void settings_text(struct shim_settings *s, const char *key, const char *value);
void settings_number(struct shim_settings *s, const char *key, uint64_t value);
/* The shim inherits `fd`, which stays ours. -1 is left out. */
void settings_fd(struct shim_settings *s, const char *key, int fd);
/* The same for one that is settings_free()'s to close. */
void settings_take_fd(struct shim_settings *s, const char *key, int take_fd);
/* The directories of the host that may be covered in a private mount namespace. */
void settings_stages(struct shim_settings *s, const struct launch *l);
void settings_free(struct shim_settings *s);

/* `program`: a descriptor of what is run instead of the shim's file; -1: none. */
int shim_start(struct launch_shim *s, const char *id, int program, const struct shim_settings *settings, struct err *e);
/* Connect to a running one by its socket in `dir` and say HELLO. */
int shim_connect(struct launch_shim *s, int dir, struct err *e);
/* Know its process: it ends → on(NULL). */
void shim_watch(struct launch_shim *s, int take_pidfd);
int shim_send(struct launch_shim *s, const struct wire_head *head, const void *text, size_t len, int fd, struct err *e);
void orphans_free(struct launch *l);
/* Let go. With `kill` the process is ended. Safe within on(). */
void shim_free(struct launch_shim *s, bool kill);

/* A socket named shim.sock in `dir`, bound, for the shim to listen on. */
int shim_listener(int dir, struct err *e);

/* ---- userns.c ---- */

/*
 * A user namespace with `ids` and, with `net`, a network namespace inside of it with its lo up. Without ids only the
 * network namespace. *user and *net_fd are -1 where not made.
 */
int namespaces_make(const struct launch_ids *ids, bool net, int join_user, int *user, int *net_fd, struct err *e);

/* ---- clones.c ---- */

/*
 * A detached clone of the mount at `fd`, idmapped by the user namespace `userns` unless -1. `propagation`: MS_PRIVATE,
 * MS_SLAVE, MS_SHARED, 0 to stay as it is. Returns the descriptor or -errno.
 */
int clone_mount(int fd, bool recursive, bool read_only, int propagation, int userns, struct err *e);
/* A new tmpfs, mounted nowhere, that may hold device nodes and that everybody may traverse. Descriptor or -errno. */
int tmpfs_mount(struct err *e);
/* The name of the file system of `fd`, for messages. */
const char *filesystem_name(int fd);

/* ---- submounts.c ---- */

struct submount {
	char *path; /* from the source on */
	int fd;	    /* O_PATH */
};

struct submounts {
	struct submount *v;
	size_t n;
};

/* What is mounted below `source`, the outer before the inner. */
int submounts_find(int source, struct submounts *out, struct err *e);
void submounts_clean(struct submounts *all);

/* ---- cgroup.c ---- */

/* All take the path below the hierarchies' roots, as "/pouch/ID". */
/*
 * SIGKILL to all that are found, frozen or not; waits for nobody. With `hold` they cannot fork away between being read
 * and being killed, which costs a third of a millisecond; a fork that was under way may still come behind.
 */
void cgroup_kill(const char *path, bool hold);
/* 0; -EBUSY while processes are left. A cgroup that is not there is removed. */
int cgroup_remove(const char *path);
bool cgroup_exists(const char *path);
void cgroup_parent_make(const char *path);
/* In each hierarchy where nothing is in it. */
void cgroup_remove_empty(const char *path);
/* Asks the kernel; cgroup_frozen() tells when all of its processes are, cgroup_freezing() that they are to be. */
int cgroup_freeze(const char *path, bool freeze);
bool cgroup_frozen(const char *path);
bool cgroup_freezing(const char *path);
/* Counter of the kernel's OOM kills in it. */
uint64_t cgroup_oom_kills(const char *path);
ssize_t cgroup_pids(const char *path, pid_t **pids, struct err *e);
bool cgroup_is_v2(void);
/*
 * The settings "cgroup": whoever writes "0" to each of these descriptors is in the cgroup `path`, or, where processes
 * have a cgroup of their own below it (v2), in that of `pid`. 409 when it is not there any more.
 */
int cgroup_doors(const char *path, pid_t pid, struct shim_settings *s, struct err *e);
/* The path of a process ("self", "123") where all of a container's are: the freezer's hierarchy, or the one of v2. */
int cgroup_of_process(const char *process, char out[512]);
/* "file" of the hierarchy with `controller` (v1) or of the one hierarchy; the value without its newline. */
int cgroup_read(const char *controller, const char *path, const char *file, char *out, size_t size);
int cgroup_write(const char *controller, const char *path, const char *file, const char *value);

/* ---- caps.c ---- */

#define CAP_COUNT 41
/* "CHOWN", "CAP_CHOWN", any case; -1 for an unknown one. */
int cap_number(const char *name);
/* With CAP_. */
const char *cap_name(unsigned number);
/* The engine's own bounding set. */
uint64_t cap_own(void);
/* Is this one in it? */
bool cap_may(unsigned number);
/* What HostConfig asks for: -EINVAL for unknown names. */
int cap_of_host(const struct launch *l, const json_t *host, bool userns, uint64_t *out, struct err *e);

/* ---- seccomp.c ---- */

/*
 * The filter for a container with these capabilities: base64 of the BPF program, borrowed from the cache. `profile`
 * NULL: the default's. *out NULL: none (the profile allows everything).
 */
int seccomp_filter(struct launch *l, const char *profile, uint64_t caps, const char **out, struct err *e);
/* The same as OCI's linux.seccomp, for other runtimes. */
int seccomp_oci(struct launch *l, const char *profile, uint64_t caps, json_t **out, struct err *e);
void seccomp_cache_free(struct seccomp_cache *c);
/*
 * The same program in fewer instructions, where that can be proven; else a copy. `out` has room for `n`. Returns how
 * many there are.
 */
struct sock_filter;
size_t seccomp_compact(const struct sock_filter *in, size_t n, struct sock_filter *out);

/* ---- runtime.c ---- */

/*
 * The runtime's program in a sealed memfd, borrowed, or -1 when it is to be run from its path. crun, finding itself in
 * one, need not copy and start itself again so that no container can write to it.
 */
int runtime_copy(struct launch *l, const struct launch_runtime *rt);
/* The same of the shim's, for one that enters a container: borrowed, or -1 when it cannot be had. */
int shim_copy(struct launch *l);
void runtime_copies_free(struct runtime_copies *c);

/* ---- options.c: SecurityOpt ---- */

struct security {
	bool no_new_privileges;
	bool unconfined_seccomp, unconfined_paths;
	const char *seccomp;  /* profile's text, NULL: the default */
	const char *apparmor; /* "" none */
	const char *label_user, *label_role, *label_type, *label_level;
	bool label_disable;
};
int security_parse(const struct launch *l, const json_t *host, struct security *out, struct err *e);

/* ---- bundle.c ---- */

struct bundle_mount {
	char *destination; /* NULL: holds the device nodes, and is itself nowhere in the container */
	bool read_only;
	enum launch_propagation propagation;
	bool is_file;
};

/* What config.json is made of. */
struct bundle {
	struct launch *launch;
	const char *id;
	const json_t *config, *host;
	struct launch_ids ids;
	const struct bundle_mount *mounts;
	size_t nmounts;
	const char *stage;   /* where the shim has put root, c and the mounts */
	const char *workdir; /* where links of the image lead to; NULL: as configured */
	pid_t starter;	     /* becomes the runtime; has the namespaces by the same numbers */
	long uid, gid;
	const long *groups;
	size_t ngroups;
	int user_fd, net_fd, ipc_fd, pid_fd, uts_fd; /* namespaces to join, -1: none */
	int nodes_fd;				     /* where device nodes are made: the last of the mounts; or -1 */
	bool host_net;
	const char *cgroup;
};

int bundle_make(const struct bundle *b, json_t **out, struct err *e);
/* OCI's process object for an exec. */
int bundle_exec(const struct bundle *b, const json_t *exec, unsigned rows, unsigned columns, json_t **out,
		struct err *e);
int bundle_mounts(const struct bundle *b, json_t *mounts, struct err *e);
/* 400 for a place where nothing may be mounted, or no more than a `file`. */
int target_check(const char *given, bool file, struct err *e);
/*
 * Mount options of a tmpfs: noexec, nosuid and nodev with those `given` ("size=1m,exec") over them; *out is the
 * caller's to free. 400 naming an option that is none.
 */
int tmpfs_options(const char *destination, const char *given, char **out, struct err *e);
int bundle_resources(const struct launch *l, const json_t *host, json_t *resources, struct err *e);
int bundle_devices(const struct bundle *b, json_t *linux_, json_t *resources, json_t *mounts, struct err *e);
/* The lowest OOM score that the engine may give. */
int64_t oom_score_least(void);
/* RLIMIT_ of a name as "nofile"; -1 for an unknown one. */
int rlimit_number(const char *name);
/* Those of HostConfig.Ulimits, clamped to what the engine may set. */
json_t *bundle_rlimits(const json_t *host);

/* ---- run.c ---- */

enum run_state { RUN_PREPARING, RUN_READY, RUN_STARTING, RUN_RUNNING, RUN_ENDED };

struct launch_run {
	bool listed; /* in the room's list */
	LIST_ENTRY(launch_run) link;
	struct launch *launch;
	char id[ID_CHARS + 1];
	uint64_t start;
	const struct launch_events *events;
	void *arg;
	enum run_state state;
	struct launch_shim shim;
	int dir;       /* <run>/c/ID */
	int state_dir; /* <state>/ID */
	char *cgroup;
	struct launch_ids ids;
	json_t *config, *host;
	struct bundle_mount *mounts;
	size_t nmounts;
	int user_fd, net_fd, ipc_fd, pid_fd, uts_fd;
	int nodes_fd; /* a tmpfs for device nodes, also among the shim's mounts; -1: none is needed */
	bool own_net, host_net;
	struct event *soon; /* a callback that must not come from inside the caller */
	struct err failure;
	int failure_code;
	bool told_prepared, go, ready; /* ready: the shim is */
	bool sought;		       /* of an earlier runtimed; its shim has not answered */
	bool queued;		       /* nor been asked */
	TAILQ_ENTRY(launch_run) lookup;
	char *who, *stage, *workdir;
	pid_t starter;
	char *hosts, *resolv_conf, *files_of;
	pid_t pid;
	int pidfd;
	int64_t started_at;
	struct launch_exit exit;
	char exit_error[128];
	struct logger *logger; /* NULL: the driver has no worker */
	struct launch_holds holds;
	bool stays_frozen;  /* also without them: its user has paused it */
	struct event *look; /* whether it is frozen */
	struct launch_execs execs;
};

const struct launch_runtime *runtime_of(const struct launch *l, const json_t *host, struct err *e);
/* Namespaces, clones of all mounts and the settings for the shim; the clones live as long as the settings. */
int run_prepare(struct launch_run *run, const struct launch_spec *spec, struct shim_settings *settings, struct err *e);
/* The same for a view: the mounts alone. */
enum view_kind {
	VIEW_CONTAINER, /* the root of a container that does not run, with all that belongs into it */
	VIEW_IMAGE,	/* its image's files, read-only, with their ids on disk */
};
int run_prepare_mount(struct launch_run *run, const struct launch_spec *spec, enum view_kind kind,
		      struct shim_settings *settings, struct err *e);
struct launch_run *run_new(struct launch *l, const struct launch_spec *spec, const struct launch_events *events,
			   void *arg);
/* Among those that are looked up by their container; one of an id at a time. */
void run_list(struct launch_run *run);
/* An empty <run>/c/ID. */
int run_dir_make(struct launch_run *run, struct err *e);
/* -EALREADY while there is a run of this id. */
int run_check_free(const struct launch *l, const char *id, struct err *e);
/* Make of the runtime's complaint an error, and the exit code that Docker records: 126, 127, 128. */
int runtime_error(const char *text, const char *command, int status, struct err *e);
char *cgroup_of(const struct launch *l, const char *id, const json_t *host);
/* hostname, hosts, resolv.conf below <state>/ID/files. */
int run_write_files(struct launch_run *run, struct err *e);
/* StorageOpt's size in bytes; 0: none, or no size. */
uint64_t storage_size(const json_t *host);
int state_dirs_make(const struct launch *l, const char *id, int *out, struct err *e);
/* Lets go of its shim; the container runs on. */
void run_free(struct launch_run *run);
bool id_valid(const char *id);

/* ---- leftovers.c: what a run has left: processes, cgroup, the runtime's state ---- */

/* -EBUSY while a process is still going; all are killed then. */
int leftovers_remove(struct launch *l, const char *id, const char *cgroup);
/*
 * Go on with it until nothing is left. `gone` comes from the event loop, once: with 0, or with -EBUSY when its
 * processes do not end for longer than anybody should wait; after that, or without `gone`, the run's directory goes
 * with the last of them. Until then it tells a runtimed that comes after this one.
 */
void leftovers_wait(struct launch *l, const char *id, const char *cgroup, void (*gone)(void *arg, int r), void *arg);
/* -EBUSY: processes of an earlier run are left, and nobody waits for them any more. */
int leftovers_check(const struct launch *l, const char *id, struct err *e);
void leftovers_free(struct launch *l);

/* ---- trash.c: trees that are gone at once and removed in the background ---- */

enum trash_of { TRASH_STATE, TRASH_RUN, TRASHES };

int trash_new(struct launch *l, struct trash **out, struct err *e);
void trash_free(struct trash *t);
/* `name` in `dir`, a directory of the state's or the run directory's, is there no more. It need not have been. */
int trash_put(struct trash *t, enum trash_of which, int dir, const char *name, struct err *e);

/* ---- ahead.c: what a start waits for in the kernel, begun before the runtime comes to it ---- */

int ahead_new(struct launch *l, struct ahead **out, struct err *e);
void ahead_free(struct ahead *a);
/* Somebody will soon be moved into a cgroup. */
void ahead_move(struct ahead *a);
/* The members of documents. */
const char *doc_text(const json_t *o, const char *key);
bool doc_true(const json_t *o, const char *key);
int64_t doc_int(const json_t *o, const char *key, int64_t otherwise);

/* ---- view.c ---- */

struct launch_view;
struct view_use;

/* `root` is borrowed, until view_drop(); with `e` there is none. Comes from the event loop. */
typedef void (*view_ready)(void *arg, int root, const struct err *e);
/* Have it mounted; views of the same are shared. A view of a container must be gone before the container starts. */
int view_take(struct launch *l, enum view_kind kind, const struct launch_spec *spec, view_ready ready, void *arg,
	      struct view_use **out, struct err *e);
/* Also before it is ready. */
void view_drop(struct view_use *u);

/* ---- logger.c: the worker that carries lines to a collector ---- */

/* Start one; `setup` as in launch_log. *lines becomes the shim's end of its socket. run_go_on() follows. */
int logger_start(struct launch_run *run, json_t *setup, int *lines, struct err *e);
/* As after a restart of runtimed: the shim says when it misses its worker. */
void logger_remember(struct launch_run *run, json_t *setup);
/* The shim has none any more. */
void logger_lost(struct launch_run *run);
/* Is the answer to logger_start() still to come? */
bool logger_starting(const struct launch_run *run);
void logger_free(struct logger *g);

/* ---- run.c ---- */

/* The shim is gone without a word: nobody watches the container, so it must not run. */
void run_shim_lost(struct launch_run *run);
/* What the start waited for has come, or, with `e`, will not come. */
void run_go_on(struct launch_run *run, const struct err *e);

/* ---- logs.c ---- */

/* A file was rotated: while all together are more than configured, the oldest rotated ones go. */
void logs_hold_quota(const struct launch *l);

/* ---- reattach.c ---- */

/* Its shim has spoken, or will not. */
void reattach_settled(struct launch_run *run);
void finding_free(struct launch *l);

/* ---- control.c ---- */

/* -ESRCH when it does not. */
int run_must_run(const struct launch_run *run, struct err *e);

/* Hand `stream` (borrowed) to a shim. */
int shim_attach(struct launch_shim *s, const struct launch_attach *how, bool tty, int stream, const void *early,
		size_t len, struct err *e);

/* ---- freeze.c ---- */

/* It runs, as before if it was found again: what a runtimed that has died has held goes on. */
void freeze_find(struct launch_run *run);
/* It is thawed, or has ended: nobody waits for it to freeze any more. `why` as in "was killed". */
void freeze_give_up(struct launch_run *run, const char *why);
/* The run goes, without a word; its holds stay their owners'. */
void freeze_forget(struct launch_run *run);

/* ---- enter.c ---- */

/*
 * Can the shim run `exec` itself? Adds what it needs then; *program, borrowed, is what is to be run. -1: the runtime
 * has to.
 */
int enter_settings(const struct launch_run *run, const json_t *exec, const json_t *host, struct shim_settings *s,
		   int *program, struct err *e);
/* GO's document: OCI's process object as texts, which need no parser of JSON beside each container. A memfd. */
int enter_document(const json_t *process, struct err *e);

/* ---- exec.c ---- */

/* The container has ended, and its execs with it: tell those who wait. */
void execs_end(struct launch_run *run);
/* Let go of the shims without a word. */
void exec_forget_all(struct launch_run *run);

#endif
