/*
 * probe: a program that enters the sandbox of one of the engine's processes, as that process does, and then tries what
 * a taken-over process would try. What came of it goes to stdout as JSON: {"try": "killed" | "works" | "EACCES"…}.
 */
#ifndef POUCH_TESTS_PRIVILEGE_PROBE_H
#define POUCH_TESTS_PRIVILEGE_PROBE_H

#include <stdint.h>
#include <sys/types.h>

#include "ipc/process.h"

/* What is there to be reached outside, made before the sandbox is entered. */
struct outside {
	const char *root, *run; /* of the engine */
	enum process_id self;
	pid_t victim;	     /* a process of root's */
	uint16_t tcp_port;   /* listens on 127.0.0.1 */
	char abstract[32];   /* name of a listening abstract socket, without its NUL */
	char stream[108];    /* path of a listening stream socket */
	char *victim_memory; /* a byte of the victim's */
};

struct
try {
	const char *name;
	int (*fn)(const struct outside *o); /* 0: it worked; -errno */
};

/* Ended by an empty row. */
extern const struct try tries[];
extern const struct try tries_calls[];

/* As apid: asks the engine's helpers for every operation in the name of nobody who is connected. Prints JSON. */
int act_all(const struct outside *o);
/* As `o->self`: sends noise to every helper that it reaches. Prints JSON: helper → packets that were sent. */
int noise_all(const struct outside *o);

#endif
