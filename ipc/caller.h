/* caller: who an API client is, in the kernel's words, read from its connected socket. */
#ifndef POUCH_IPC_CALLER_H
#define POUCH_IPC_CALLER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/message.h"

#define CALLER_GROUPS_MAX 256

struct caller {
	bool local;	    /* a UNIX socket: the ids below are the kernel's word */
	uid_t uid;
	gid_t gid;
	gid_t groups[CALLER_GROUPS_MAX];
	size_t ngroups;
	pid_t pid;
	int pidfd;	    /* SO_PEERPIDFD, -1 on kernels before 6.5 */
	uint32_t loginuid;  /* (uint32_t)-1 when unset or not known */
	char cgroup[256];   /* of the client's process; "" when not known. Recorded, grants nothing */
	char container[65]; /* id of the container whose id range holds uid; "" when none */
	uint32_t listener;  /* index in the config's listeners */
	char attested[1024];/* certificate names as apid attests them; "" for local clients */
};

/*
 * Read everything from the asker's socket. A peer with the uid of one of the engine's own processes is refused
 * (-EPERM): apid must not act for itself. `proc_fd` is a descriptor of /proc opened before the sandbox, or -1.
 */
int caller_read(const struct ipc_asker *asker, int proc_fd, uid_t ids_base, struct caller *out, struct err *e);
void caller_clean(struct caller *c);

#endif
