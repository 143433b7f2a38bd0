/*
 * shim: the process beside a container (or beside one exec): starts it by the OCI runtime, then without any
 * privilege carries its output to the log and to the attached clients, and remembers how it ended.
 *
 *   main ─ fork → starter: mount namespace, overlay, mounts (stage.c), their places (places.c), user look-up
 *     │             (user.c); execs the runtime, or enters the container itself for an exec (enter.c, become.c)
 *     └── loop: control socket, terminal or pipes, clients, the log file
 *
 * The starter's mounts go with it: when the container has ended nothing of them is left. libc only, little memory.
 */
#ifndef POUCH_RUNTIMED_SHIM_SHIM_H
#define POUCH_RUNTIMED_SHIM_SHIM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <zlib.h>

#include "lib/err.h"
#include "lib/users.h"
#include "runtimed/launch/wire.h"

#define LAYERS_MAX  512
#define MOUNTS_MAX  1024
#define STAGES_MAX  8
#define CGROUPS_MAX 32
#define WORDS_MAX   16384

enum shim_mode { MODE_RUN, MODE_EXEC, MODE_MOUNT };

/* What PREPARE says. Texts point into the received packet. Descriptors are inherited, -1 when absent. */
struct shim_args {
	enum shim_mode mode;
	const char *id;		      /* the container's */
	const char *runtime;	      /* path of the OCI runtime */
	int program;		      /* the same in a descriptor, to be run instead; -1: none */
	int nulls;		      /* directory for null devices of the runtime's containers; -1: none may be made */
	bool exec_shows;	      /* what the runtime's child inherits it closes by its execve(2), not before */
	const char *runtime_args[32]; /* more arguments before the command */
	size_t nruntime_args;
	const char *runtime_root; /* its state directory */
	const char *workdir;	  /* as configured, NULL for / */
	const char *user;	  /* "user[:group]" as configured, "" for root */
	const char *groups[64];	  /* GroupAdd */
	size_t ngroups;
	uint32_t base, size; /* id range; size 0: the host's ids */
	bool tty, stdin_open, stdin_once;
	bool read_only; /* MODE_MOUNT: the root is, once the places of its mounts are made */
	uint32_t rows, columns;
	uid_t uid;  /* to become */
	int filter; /* the program of system calls to enter then: lib/sandbox/calls.def, set `shim` */
	int dir;    /* directory of this run: pid, log, console */
	int root;   /* MODE_EXEC: the container's root directory, for the look-up */
	int init;   /* MODE_EXEC: pidfd of the container's process, to be entered; -1: the runtime does it */
	int calls;  /* MODE_EXEC: the container's filter of system calls; -1: none */
	int cgroups[CGROUPS_MAX]; /* MODE_EXEC: who writes 0 there is in the container's cgroup of a hierarchy */
	size_t ncgroups;
	int top;		/* idmapped clone of the state directory with upper and work; -1: the layers alone */
	int layers[LAYERS_MAX]; /* idmapped clones, lowest first */
	size_t nlayers;
	int mounts[MOUNTS_MAX]; /* clones of binds and volumes: attached as m0, m1, … */
	size_t nmounts;
	/* Where they belong below the root; NULL: the engine's own, at a plain place. */
	const char *targets[MOUNTS_MAX];
	const char *tmpfs[MOUNTS_MAX]; /* where the runtime mounts one */
	size_t ntmpfs;
	const char *stages[STAGES_MAX]; /* directories of the host that may be covered in the private namespace */
	size_t nstages;
	int keep[STAGES_MAX]; /* namespaces that the document names as /proc/self/fd/N */
	size_t nkeep;
	int listen; /* for runtimed's later connections */
	int exit_file;
	int log_dir; /* -1: no log file */
	const char *log_name;
	uint64_t log_size; /* rotate at this size, 0: never */
	unsigned log_files;
	bool log_compress;
	const char *log_attributes; /* "\"attrs\":{…}," or "" */
	uint64_t log_buffer;	    /* mode=non-blocking: bytes of lines that wait for the log file; 0: blocking */
	int logger;		    /* socket to a log worker, -1: the driver has none */
	bool logger_drops;	    /* mode=non-blocking */
};

int args_parse(char *text, size_t len, struct shim_args *a, struct err *e);

/* MODE_EXEC without a runtime: the process that GO's document names. Texts point into the document. */
struct process {
	uint32_t uid, gid;
	uint32_t groups[USER_GROUPS_MAX];
	size_t ngroups;
	uint64_t capabilities, bounding; /* a bit each, permitted and effective */
	bool no_new_privileges;
	const char *oom_score;	/* NULL: as it is */
	const char *limits[16]; /* "resource soft hard" in numbers */
	size_t nlimits;
	const char *cwd;
	const char *args[WORDS_MAX], *env[WORDS_MAX]; /* NULL-ended */
	size_t nargs, nenv;
};

/* `out` is zero before. */
int process_parse(char *text, size_t len, struct process *out, struct err *e);

/* ---- the starter, in a process of its own ---- */

/* Never returns. `sock`: to the shim, for PREPARED, FAILED and GO; `stdio`: what the container's 0, 1, 2 become. */
_Noreturn void starter_run(const struct shim_args *a, int sock, const int stdio[3]);

/* A private mount namespace with the container's root at <stage>/root and its mounts at <stage>/mN. */
int stage_build(const struct shim_args *a, char stage[256], struct err *e);
/* For MODE_EXEC: a namespace in which <stage>/root is at the place that it had, and nothing in it. */
int stage_empty(const struct shim_args *a, char stage[256], struct err *e);
/*
 * As stage_build() for MODE_MOUNT, the mounts where they belong below root. Returns a detached clone of the whole.
 */
int stage_view(const struct shim_args *a, struct err *e);
/*
 * Where do the targets lead, by the symbolic links of the image and of the mounts themselves? 400 when one would take
 * the place of the container's /proc or /sys, or of something there, without saying so. *workdir becomes the working
 * directory without those links, the caller's to free: the runtime makes one that is not there, but not behind a link.
 * NULL: no link leads to it.
 */
int places_check(const struct shim_args *a, char **workdir, struct err *e);
/* "uid gid group,group,… home" of the configured user by the passwd and group files below the directory `root`. */
int user_lookup(const struct shim_args *a, int root, char *out, size_t size, struct err *e);

/* Three descriptors, no signal settings: what a container's process begins with. */
void plain_begin(const int stdio[3]);

/* ---- an exec without a runtime ---- */

/*
 * enter.c: into the container by its process's descriptor, a child that becomes the command. Never returns; tells what
 * a runtime would tell: by the files `pid` and `log` of `a->dir`, and 0 as its status when the command runs.
 */
_Noreturn void enter_run(const struct shim_args *a, int document, const char *home, const int stdio[3]);

/* What the child has beside 0, 1, 2. */
struct become {
	const struct process *process;
	const int *cgroups;
	size_t ncgroups;
	bool own_ids; /* the container has a user namespace */
	bool tty;
	unsigned short rows, columns; /* of the terminal; 0: not known yet */
	int console;		      /* the terminal is sent here; -1 */
	int failure;		      /* pipe for the reason, when the command cannot be run */
	const void *calls;	      /* program of the container's filter, NULL: none */
	size_t ncalls;		      /* instructions */
};

/* become.c: in the container's namespaces, from the engine's root to the command. */
_Noreturn void become_run(const struct become *b);

/* null.c: to read and write; a new one, for whoever may change its owner, where there is a directory `nulls`. -errno.
 */
int null_open(int nulls, struct err *e);

/* ---- after the start ---- */

void close_others(const int *keep, size_t nkeep);
/*
 * Become `uid` without capabilities, with only the descriptors in `keep`, held by the filter that `filter` has the
 * program of; proven, else the shim ends.
 */
void privileges_drop(uid_t uid, int filter, const int *keep, size_t nkeep);

/* ---- the log file (log.c) ---- */

struct logfile {
	int dir, fd;
	const char *name;
	uint64_t limit, size;
	unsigned files;
	unsigned rotated;		 /* times since it was last looked at */
	bool compress;			 /* rotated files */
	struct compression *compression; /* in progress */
	const char *attributes;
	size_t attributes_len;
};

enum stream { STREAM_OUT, STREAM_ERR, STREAMS };

void logfile_open(struct logfile *l, const struct shim_args *a);
/* Another process may have rotated it. */
void logfile_reopen(struct logfile *l);
/* One line, or a piece of a long one, of `stream`; kept in a buffer until logfile_flush(). */
void logfile_line(struct logfile *l, enum stream stream, const char *text, size_t len, int64_t time);
void logfile_flush(struct logfile *l);

/* ---- rotated files (rotate.c) ---- */

void logfile_rotate(struct logfile *l);
void compression_start(struct logfile *l);
/* Compress a little more. Returns whether there is more to do. */
bool compression_step(struct logfile *l);
/* Give up; the file stays plain. */
void compression_stop(struct logfile *l);

/* ---- the log worker (logger.c) ---- */

#define SHIM_LOGGER_DUE (16u << 10)

struct shim_logger {
	int fd;	     /* -1: there is none, or it has died */
	bool wanted; /* lines are to go to one */
	bool drops;
	bool stuck;	  /* it has taken nothing more at the last try */
	size_t limit;	  /* bytes beyond which lines are dropped */
	uint32_t dropped; /* lines, since the last that went */
	uint64_t total_dropped;
	char *bytes; /* from the beginning of a line; up to `from` it is sent */
	size_t from, to, capacity;
};

void shim_logger_init(struct shim_logger *g, const struct shim_args *a);
/* A line, or a piece of a long one, as logfile_line() gets it. */
void shim_logger_line(struct shim_logger *g, enum stream stream, const char *text, size_t len, int64_t time);
/* Send what waits. Returns false when the worker has gone. */
bool shim_logger_flush(struct shim_logger *g);
void shim_logger_lose(struct shim_logger *g);
void shim_logger_take(struct shim_logger *g, int take_fd);
/* Is there so much that it should be sent before more comes? */
static inline bool shim_logger_due(const struct shim_logger *g)
{
	return g->to - g->from >= SHIM_LOGGER_DUE && !g->stuck;
}
/* Must the container wait for it? */
static inline bool shim_logger_full(const struct shim_logger *g)
{
	return g->wanted && !g->drops && (g->from < g->to || g->fd < 0);
}

/* ---- the log file's writer (writer.c) ---- */

struct shim_writer {
	struct shim_logger lines; /* wanted: it is there, and lines go to it instead of the file */
	pid_t pid;
	uint64_t handed, written; /* bytes of lines */
	uint64_t rotated;
};

struct shim;
/* With mode=non-blocking; before the privileges are dropped, which it does, too. */
void writer_start(struct shim *s);
void writer_line(struct shim *s, enum stream stream, const char *text, size_t len, int64_t time);
void writer_flush(struct shim *s);
/* It has said something, or takes more. */
void writer_serve(struct shim *s);
/* The last line has come: wait until it is written, for as long as dockerd does. */
void writer_finish(struct shim *s);

/* ---- clients (client.c) ---- */

struct client {
	struct client *next;
	int fd;
	uint32_t flags; /* WIRE_IN… */
	bool reading;	/* may still send */
	bool framed;	/* Docker's 8-byte headers */
	unsigned char keys[32];
	unsigned nkeys, matched;
	char *early; /* came behind the request's head, read before the socket */
	size_t early_from, early_len;
	char *waiting; /* not yet taken by the kernel */
	size_t from, to, capacity;
	gzFile log;	     /* log file being replayed, NULL when live; gzread() reads plain ones, too */
	bool log_due;	     /* the replay has not begun */
	unsigned log_number; /* of the one after it */
	int log_dir;
	const char *log_name;
	char *line; /* piece of a logged line read so far */
	size_t line_have;
};

struct input { /* what clients typed and the container has not read yet */
	char bytes[8192];
	size_t from, to;
};

struct client *client_new(int take_fd, const struct wire_head *how, const char *keys, bool tty);
void client_free(struct client *c);
/* Send output, framed as the client wants it; what the kernel does not take at once is kept. */
void client_send(struct client *c, enum stream stream, const char *data, size_t len);
/* The same for what comes now: not for clients that want none, or are still with the logs. */
void client_output(struct client *c, enum stream stream, const char *data, size_t len);
/* First give it what was logged, as fast as it takes it (replay.c). */
void client_replay(struct client *c, int dir, const char *name, unsigned files);
/* Returns false when the client is to go: it wanted the logs alone. `log` is -1 from then on. */
bool client_replay_more(struct client *c);
/* Send what waits. Returns false when the client has gone. */
bool client_flush(struct client *c);
static inline bool client_pending(const struct client *c)
{
	return c->from < c->to;
}
/* Filter detach keys out of `n` bytes typed. Returns what is to be passed on, or -1 for "detach". */
ssize_t client_typed(struct client *c, const char *in, size_t n, char *out);

/* ---- the loop (loop.c) ---- */

struct shim {
	struct shim_args args;
	int control;	  /* runtimed, -1 while it is away */
	int starter_sock; /* of the starter, and then of the container's process until its execve(2) */
	pid_t starter;	  /* 0 once it has ended */
	pid_t init;	  /* the container's first process; 0 before */
	int init_pidfd;
	int signals;	    /* signalfd */
	int console_listen; /* the runtime sends the terminal here */
	int out[STREAMS];   /* pipes, or the terminal in [0] */
	int in;		    /* pipe or the terminal; -1 closed */
	int terminal;
	bool started, shown, exited, exit_sent, stdin_end; /* shown: runtimed has been told of the start */
	int64_t started_at;
	struct wire_exit exit;
	struct client *clients;
	struct input input;
	struct logfile log;
	struct shim_logger logger;
	struct shim_writer writer;
	struct {
		char *bytes; /* 64 KiB, made with the first output */
		size_t have;
	} partial[STREAMS];
	bool dropped; /* privileges */
};

/* Is there anything that its writer has not written yet? */
static inline bool writer_behind(const struct shim *s)
{
	return s->writer.lines.wanted && s->writer.written < s->writer.handed;
}

void loop_run(struct shim *s);
int64_t now_ns(void);

/* ---- the start (begin.c) ---- */

/* The starter has said something, or its socket has ended: it becomes the runtime. Ends the shim when it has failed. */
void begin_starter(struct shim *s);
/* The runtime has ended: its container runs, and all power is given up; or the shim ends. */
void begin_ended(struct shim *s, int status);
/* The container's process is what it is to be: runtimed is told of the start, once. */
void begin_show(struct shim *s);

/* ---- the container's output (output.c) ---- */

/* Returns whether there may be more. */
bool output_read(struct shim *s, enum stream i);
void output_close(struct shim *s, enum stream i);
/* The log's files have got other numbers, `times` times. */
void output_rotated(struct shim *s, unsigned times);
/* What waits for the log worker. */
void output_logger(struct shim *s);

/* ---- its input (input.c) ---- */

/* May a client's bytes be read now? */
bool input_wanted(const struct shim *s, const struct client *c);
/* Into `input`, from which the loop writes. Returns false when the client is to go. */
bool input_client(struct shim *s, struct client *c);
/* A client will send nothing more. */
void input_client_end(struct shim *s, struct client *c);
void input_write(struct shim *s);
void input_close(struct shim *s);

/* ---- runtimed (control.c) ---- */

/* Nothing happens while it is away. */
void control_tell(struct shim *s, struct wire_head head, const char *text, size_t len, const int *fds, size_t nfds);
void control_started(struct shim *s);
void control_exited(struct shim *s);
/* Returns false when there was nothing to read. */
bool control_read(struct shim *s);
void control_accept(struct shim *s);
void control_resize(struct shim *s, uint32_t rows, uint32_t columns);
/* Begin with what was logged, for a client that wants it, as soon as all of it is written. */
void control_replay(struct shim *s, struct client *c);

#endif
