/* fd: descriptors: whole reads and writes, kinds, memfds, opening beneath a directory. */
#ifndef POUCH_LIB_FD_H
#define POUCH_LIB_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"
#include "lib/util.h"

/*
 * What a descriptor must be to pass where one is declared (ipc/ checks every received one).
 * A kind is read from the kernel: fstat, F_GETFL, getsockopt, F_GET_SEALS, statfs.
 */
enum fd_kind {
	FD_STREAM,     /* connected SOCK_STREAM socket of AF_UNIX */
	FD_PIPE_READ,  /* reading end of a pipe */
	FD_PIPE_WRITE, /* writing end of a pipe */
	FD_MEMFD,      /* memfd sealed against write, grow, shrink and further seals */
	FD_FILE,       /* regular file */
	FD_DIR,	       /* directory, O_PATH or readable */
	FD_NETNS,      /* network namespace (nsfs) */
	FD_USERNS,     /* user namespace (nsfs) */
	FD_PIDFD,      /* process descriptor */
	FD_SEQPACKET,  /* connected SOCK_SEQPACKET socket of AF_UNIX */
	FD_PTY,	       /* terminal master */
	FD_UDP,	       /* UDP socket */
	FD_TCP_LISTEN, /* listening TCP socket */
	FD_KINDS,
};

const char *fd_kind_name(enum fd_kind kind);

/* 0 when `fd` is of `kind`; -EBADF with the reason otherwise. */
int fd_check(int fd, enum fd_kind kind, struct err *e);

/*
 * openat2(2) with these RESOLVE_ flags, close-on-exec; the descriptor or -errno. Where anybody on the host renames or
 * mounts something while a ".." is walked, the kernel cannot tell where it leads, and wants to be asked again: it is.
 */
int fd_open_within(int dir, const char *path, int flags, uint64_t resolve);

/* The directories above `path`, 0755 whatever the umask is; those that are there stay as they are. */
int fd_make_parents(const char *path, struct err *e);

/*
 * What is made in this directory has nothing to do with each other: ext4 puts each directory elsewhere then, as it does
 * with home directories (chattr(1), T). One without a journal looks, for each new file, past all that were deleted
 * nearby in the last minutes. Where a file system has no such hint, nothing happens.
 */
void fd_spread(int dir);

int fd_set_nonblock(int fd, struct err *e);

/* Write all / read up to `len` bytes, through EINTR and short counts, on a blocking descriptor. */
int fd_write_all(int fd, const void *buf, size_t len, struct err *e);
/* Returns the bytes read (less than `len` only at end of file) or -errno. */
ssize_t fd_read_full(int fd, void *buf, size_t len, struct err *e);

/* A sealed memfd with `len` bytes of `data`; returns the descriptor (owned by the caller) or -errno. */
int fd_memfd(const char *name, const void *data, size_t len, struct err *e);

/*
 * All of a file into fresh memory with a NUL behind it (not counted in *len). -EFBIG above `max`.
 * *out is the caller's to free.
 */
int fd_read_file(int fd, size_t max, char **out, size_t *len, struct err *e);

#endif
