/*
 * wire: what runtimed and a shim say to each other. Packets on a SEQPACKET socket: a fixed head, a text, descriptors.
 *
 * These messages are not in ipc/shim.def: a shim lives as long as its container and so outlives upgrades of the
 * engine, while the tables of ipc/ are the same in all programs that talk (HELLO compares their hash). So the head's
 * layout and the numbers below never change; new things are new types, or keys in the text.
 *
 *   runtimed → shim                                shim → runtimed
 *   PREPARE  text: key=value, descriptors by number
 *                                                  PREPARED  text: "uid gid group,group,… home" of the process,
 *                                                            the stage, and the working directory, or
 *                                                            nothing, when links lead to it, by NULs;
 *                                                            pid: who has the descriptors, and becomes the runtime
 *   ATTACH   any time from here
 *   GO       text: arguments; fd: the document
 *                                                  STARTED   pid, time; fd: pidfd of the process
 *                                                  FAILED    code (exit code), text; the shim ends
 *   RESIZE
 *   HELLO    after a new connection                STATE, then STARTED and perhaps EXITED as they were
 *                                                  EXITED    code, sig, time
 *   LOGGER   fd: to a new log worker
 *                                                  DETACHED  a client has left by its detach keys
 *                                                  ROTATED  a log file has become an old one
 *                                                  LOGGER_LOST  the log worker has gone; also after HELLO
 *                                                  LINES_DROPPED  time: lines so far that did not go to the log file;
 *                                                            flags: 1 at the end
 *
 * A shim → its log worker: on a stream, a wire_line and its text for each line. A shim may outlive the worker and the
 * worker its engine, so this never changes either.
 */
#ifndef POUCH_RUNTIMED_LAUNCH_WIRE_H
#define POUCH_RUNTIMED_LAUNCH_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WIRE_MAGIC    0x314d4853u /* "SHM1" */
#define WIRE_TEXT_MAX (60u << 10)
#define WIRE_FDS_MAX  2

enum wire_type {
	WIRE_PREPARE = 1,
	WIRE_GO,
	WIRE_ATTACH,
	WIRE_RESIZE,
	WIRE_HELLO,
	WIRE_LOGGER,
	WIRE_STATE = 64,
	WIRE_PREPARED,
	WIRE_STARTED,
	WIRE_FAILED,
	WIRE_EXITED,
	WIRE_DETACHED,
	WIRE_LOGGER_LOST,
	WIRE_ROTATED,
	WIRE_LINES_DROPPED,
};

/* Flags of ATTACH. */
enum { WIRE_IN = 1, WIRE_OUT = 2, WIRE_ERR = 4, WIRE_LOGS = 8, WIRE_STREAM = 16, WIRE_RAW = 32 };

struct wire_head {
	uint32_t magic;
	uint32_t type;
	uint32_t flags;
	int32_t pid, code, sig;
	uint32_t rows, columns;
	uint32_t nkeys; /* ATTACH: the first bytes of the text are the detach keys, the others came early */
	uint32_t reserved;
	int64_t time; /* nanoseconds since 1970 */
};

/* Before each line that goes to a log worker. */
struct wire_line {
	uint32_t len;	 /* of the text, which has no newline at its end */
	uint8_t is_err;	 /* of standard error */
	uint8_t partial; /* a piece of a line, of which more follows */
	uint16_t reserved;
	uint32_t dropped; /* lines before this one that the shim could not hand over */
	uint32_t reserved2;
	int64_t time; /* nanoseconds since 1970 */
};

/* What the shim leaves in the file `exit`, in one write: whole or not there. */
struct wire_exit {
	uint32_t magic;
	int32_t code, sig;
	uint32_t reserved;
	int64_t time;
};

/*
 * An exec's file "pid" has the number of its process and, once the shim knows it, " " and this: when the process began,
 * in the kernel's ticks since the host's start. Both together are no other's. 0: there is none.
 */
uint64_t wire_began(pid_t pid);

/* Returns 0 or -errno. Descriptors stay the caller's. */
int wire_send(int fd, const struct wire_head *head, const void *text, size_t len, const int *fds, size_t nfds);

/*
 * Receive one packet into `head` and `text` (`size` long, gets a NUL behind the last byte). Returns the length of the
 * text, -EAGAIN, -ECONNRESET at the end, -EBADMSG for what is no packet of ours. Missing descriptors are -1.
 */
ssize_t wire_receive(int fd, struct wire_head *head, char *text, size_t size, int fds[WIRE_FDS_MAX]);

#endif
