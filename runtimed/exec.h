/*
 * exec: a command that runs in a container beside its own process. Made by exec_create, started once, kept until the
 * container ends or the next start of the same container; the health test is one that nobody sees.
 */
#ifndef POUCH_RUNTIMED_EXEC_H
#define POUCH_RUNTIMED_EXEC_H

#include "runtimed/container.h"

struct launch_exec;

enum exec_status { EXEC_CREATED, EXEC_STARTING, EXEC_RUNNING, EXEC_ENDED };

struct exec {
	TAILQ_ENTRY(exec) link; /* of its container */
	struct container *container;
	char id[ID_LEN + 1];
	json_t *config; /* ExecConfig as given */
	enum exec_status status;
	pid_t pid;
	int exit_code;
	bool has_exit_code;
	struct launch_exec *run;
	bool hidden; /* a health test: in no list, told to nobody */
	unsigned rows, columns;
	/* Told of the end, also of one that never began; `failure` NULL when it ran. */
	void (*ended)(struct exec *x, const struct err *failure);
	void (*started)(struct exec *x);
	void *arg;
};

/*
 * Run it. `take_stream` is what its standard streams are (-1: none). started() and ended() come from the event loop, or
 * ended() alone; on an error neither comes.
 */
int exec_run(struct exec *x, int take_stream, const void *early, size_t len, struct err *e);

/* A fresh exec of `c`, in no list. */
struct exec *exec_new(struct container *c, json_t *take_config);
void exec_free(struct exec *x);
/* Put a fresh or loaded exec where it is found. */
void exec_add(struct runtimed *rt, struct exec *x);

/* The container has ended: no exec of it runs any more. */
void execs_container_ended(struct container *c);
/* The container is being removed: its execs are forgotten. */
void execs_forget(struct container *c);
/* After a restart of runtimed: find the running ones again. */
void execs_reattach(struct container *c);

#endif
