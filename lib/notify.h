/* notify: the service's side of sd_notify(3), without libsystemd: READY=1, STOPPING=1, STATUS=… */
#ifndef POUCH_LIB_NOTIFY_H
#define POUCH_LIB_NOTIFY_H

#include "lib/err.h"

/*
 * Connect to the socket at `path` (the value of NOTIFY_SOCKET; "@name" is an abstract one, as systemd may use).
 * To be called before the sandbox. Returns the descriptor or -errno.
 */
int notify_open(const char *path, struct err *e);

/* Send one state, e.g. "READY=1". `fd` may be -1: nobody asked. Uses sendmsg(2) only. */
void notify_send(int fd, const char *state);

#endif
