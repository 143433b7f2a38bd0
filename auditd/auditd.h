/*
 * auditd: the audit chain: takes records, adds what it knows itself, appends. It reads nothing but the end of its
 * files.
 */
#ifndef POUCH_AUDITD_AUDITD_H
#define POUCH_AUDITD_AUDITD_H

#include "auditd/chain.h"
#include "auditd/copy.h"
#include "ipc/server.h"
#include "lib/daemon.h"

struct auditd {
	struct daemon daemon;
	struct ipc_server *server;
	struct chain *chain;
	struct copy *copy;
	struct event *sync; /* while something is not yet on the disk */
};

#endif
