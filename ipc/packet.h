/* packet: one SOCK_SEQPACKET packet with its descriptors, to and from the kernel. */
#ifndef POUCH_IPC_PACKET_H
#define POUCH_IPC_PACKET_H

#include <sys/types.h>

#include "ipc/codec.h"

/* Connect to a listening socket. `flags`: 0 or SOCK_NONBLOCK. Returns the descriptor or -errno. */
int packet_connect(const char *path, int flags, struct err *e);

/* Send whole, with MSG_NOSIGNAL and `flags`. Returns 0 or -errno; descriptors stay the caller's. */
int packet_send(int fd, const void *bytes, size_t len, const int *fds, size_t nfds, int flags);

/*
 * Receive one packet into `bytes` (IPC_MESSAGE_MAX long) and `fds` (IPC_FDS_MAX). Returns its length, -EAGAIN,
 * -ECONNRESET at the end, -EBADMSG when it was larger than that (its descriptors are closed), or -errno.
 */
ssize_t packet_receive(int fd, unsigned char *bytes, int *fds, size_t *nfds, int flags, struct err *e);

void packet_close_fds(const int *fds, size_t nfds);

#endif
