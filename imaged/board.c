#include "imaged/board.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/reference.h"

#define BAR 50

struct board {
	struct lines **watchers;
	size_t nwatchers;
	json_t *said;	/* lines, in their order */
	json_t *layers; /* id → its last line */
};

struct board *board_new(void)
{
	struct board *b = XNEW(struct board);

	*b = (struct board){.said = json_array(), .layers = json_object()};
	return b;
}

void board_free(struct board *b)
{
	if (!b)
		return;
	json_decref(b->said);
	json_decref(b->layers);
	free(b->watchers);
	free(b);
}

void board_join(struct board *b, struct lines *l)
{
	json_t *line;
	const char *id;
	size_t i;

	json_array_foreach(b->said, i, line)
		lines_put(l, json_incref(line));
	json_object_foreach(b->layers, id, line)
		lines_put(l, json_incref(line));
	b->watchers = xrealloc(b->watchers, b->nwatchers + 1, sizeof *b->watchers);
	b->watchers[b->nwatchers++] = l;
}

void board_leave(struct board *b, struct lines *l)
{
	for (size_t i = 0; i < b->nwatchers; i++)
		if (b->watchers[i] == l) {
			b->watchers[i] = b->watchers[--b->nwatchers];
			return;
		}
}

static void tell(struct board *b, json_t *line, void (*put)(struct lines *l, json_t *take_line))
{
	for (size_t i = 0; i < b->nwatchers; i++)
		put(b->watchers[i], json_incref(line));
}

void board_say(struct board *b, const char *id, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	json_t *line = lines_status_of(id, fmt, ap);
	va_end(ap);
	tell(b, line, lines_put);
	json_array_append_new(b->said, line);
}

char *board_id(const char *digest, char *out)
{
	snprintf(out, 13, "%.12s", digest_hex(digest));
	return out;
}

void board_layer(struct board *b, const char *digest, const char *status)
{
	char id[13];
	json_t *line = json_pack("{s:s, s:{}, s:s}", "status", status, "progressDetail", "id", board_id(digest, id));

	tell(b, line, lines_put);
	json_object_set_new(b->layers, id, line);
}

/* "1.536MB": four digits, as docker's units package writes sizes. */
static void write_size(char *out, size_t size, uint64_t bytes)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1000 && unit + 1 < ARRAY_LEN(units)) {
		value /= 1000;
		unit++;
	}
	snprintf(out, size, "%.4g%s", value, units[unit]);
}

/* "[=====>      ]  1.5MB/30MB" */
static void write_bar(char *out, size_t size, uint64_t current, uint64_t total)
{
	char now[32], all[32], bar[BAR + 1];
	size_t done = total && current < total ? (size_t)((double)current / (double)total * BAR) : BAR;

	write_size(now, sizeof now, current);
	write_size(all, sizeof all, total);
	if (!total) {
		snprintf(out, size, "%8s", now);
		return;
	}
	memset(bar, ' ', BAR);
	memset(bar, '=', done);
	bar[done < BAR ? done : BAR - 1] = '>';
	bar[BAR] = '\0';
	snprintf(out, size, "[%s]  %s/%s", bar, now, all);
}

void board_progress(struct board *b, const char *digest, const char *status, uint64_t current, uint64_t total)
{
	char bar[BAR + 96], id[13];

	write_bar(bar, sizeof bar, current, total);
	json_t *line = json_pack("{s:s, s:{s:I}, s:s, s:s}", "status", status, "progressDetail", "current",
				 (json_int_t)current, "progress", bar, "id", board_id(digest, id));
	if (total)
		json_object_set_new(json_object_get(line, "progressDetail"), "total", json_integer((json_int_t)total));
	tell(b, line, lines_hint);
	json_object_set_new(b->layers, id, line);
}
