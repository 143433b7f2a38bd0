/* caller: who an API client is, in the kernel's words, read from its connected socket. */
#ifndef POUCH_IPC_CALLER_H
#define POUCH_IPC_CALLER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/message.h"

#define CALLER_NO_LOGINUID UINT32_MAX

struct caller {
	bool local; /* a UNIX socket: the ids below are the kernel's word, as of connect(2) */
	uid_t uid;  /* (uid_t)-1 for a client that is not local; gid likewise */
	gid_t gid;
	gid_t *groups; /* supplementary groups, SO_PEERGROUPS */
	size_t ngroups;
	pid_t pid;	     /* 0 when it is not local or not visible from here */
	int pidfd;	     /* SO_PEERPIDFD; -1 on kernels before 6.5 and when the process has been reaped */
	uint32_t loginuid;   /* CALLER_NO_LOGINUID when unset or not known */
	char cgroup[256];    /* of the client's process; "" when not known. Recorded, grants nothing */
	char socket[108];    /* path of the listening socket that it connected to, in the kernel's words */
	uint32_t listener;   /* index in the config's listeners, as apid says; lib/guard.h checks it against `socket` */
	char attested[1024]; /* certificate names as apid attests them; "" for local clients and for plain TCP */
};

/*
 * Read everything from the asker's socket. Refused (-EPERM, status 403): a peer with the uid of one of the engine's own
 * processes, for apid must not act for itself; a socket that no listener accepted (apid's own end of a connection
 * to somebody, a socketpair); an asker with neither a socket nor an attestation, or with both.
 * A client over plain TCP is attested by the empty text.
 * `proc_fd` is a descriptor of /proc opened before the sandbox, or -1. What it says (loginuid, cgroup) is kept
 * only where the pidfd proves that the process was still there afterwards.
 * On success release with caller_clean(); on failure there is nothing to release.
 */
int caller_read(const struct ipc_asker *asker, int proc_fd, uid_t ids_base, struct caller *out, struct err *e);
void caller_clean(struct caller *c);

/* Is `gid` the caller's primary or one of its supplementary groups? */
bool caller_in_group(const struct caller *c, gid_t gid);

#endif
