/* logs: reading a container's json-file log: lines from all its files, oldest first or from the end. */
#ifndef POUCH_RUNTIMED_LOGS_H
#define POUCH_RUNTIMED_LOGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct container;
struct launch_attach;

/* One line of the log file, {"log":"…","stream":"stdout","time":"…"}, taken apart. */
struct log_line {
	char *text; /* unescaped in place: points into the line */
	size_t len;
	bool is_stderr;
	const char *time; /* RFC 3339, not terminated */
	size_t time_len;
	const char *attrs; /* the JSON object of attributes, not terminated; NULL when there is none */
	size_t attrs_len;
};

/* Read the `len` bytes (without the newline) of a line; they are changed. false: it is no line of a log. */
bool log_line_parse(char *line, size_t len, struct log_line *out);

/*
 * Write what the container has logged to an attached client's stream, as far as `how` asks for it and the log can be
 * read. done() gets the stream back, perhaps within the call; -1: the client has gone.
 */
void logs_to_client(struct container *c, const struct launch_attach *how, int take_stream,
		    void (*done)(void *arg, int stream), void *arg);

#endif
