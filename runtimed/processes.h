/*
 * processes: what ps(1) shows, read from the host's /proc: a container's own /proc and programs are never asked, and
 * numbers are the host's.
 */
#ifndef POUCH_RUNTIMED_PROCESSES_H
#define POUCH_RUNTIMED_PROCESSES_H

#include <jansson.h>
#include <sys/types.h>

#include "lib/err.h"

#define COLUMNS_MAX 48
/* Of a command line; what is longer is cut. */
#define COMMAND_MAX 4096
#define CELL_MAX    (COMMAND_MAX + 1)

struct process;

struct column {
	const char *names; /* "pcpu|%cpu" */
	const char *title;
	void (*show)(const struct process *p, char out[CELL_MAX]);
};

/* By one of its names, `len` bytes; NULL when there is none. */
const struct column *column_find(const char *name, size_t len);

struct columns {
	const struct column *v[COLUMNS_MAX];
	char *titles[COLUMNS_MAX]; /* given as name=TITLE; NULL: the column's own */
	size_t n;
};

/*
 * The columns that arguments of ps ask for: formats as -ef, -F, -l, aux, l, and lists as -o pid,comm or -opid=NUMBER.
 * What chooses processes is refused, but for -e, -A, a and x, which are what is asked anyway: the container's. 400.
 */
int columns_parse(const char *arguments, struct columns *out, struct err *e);
void columns_clean(struct columns *c);
/* ["PID", …] */
json_t *columns_titles(const struct columns *c);

/* One process's row of texts, from the descriptor of its /proc/PID; NULL when it has ended. May wait for the kernel. */
json_t *process_row(const struct columns *c, pid_t pid, int dir);

#endif
