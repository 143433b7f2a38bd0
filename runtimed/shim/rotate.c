/*
 * rotate: a log file that is full becomes NAME.1, NAME.1 becomes NAME.2, and so on. With compression NAME.1 becomes
 * NAME.1.gz bit by bit, between the container's output, and is there as a whole under one of the two names at any
 * moment.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "lib/util.h"
#include "runtimed/shim/shim.h"

#define PIECE (32u << 10)

struct compression {
	int in, out;
	z_stream z;
	unsigned char from[PIECE], to[PIECE];
};

static void name_of(const struct logfile *l, unsigned n, const char *suffix, char out[256])
{
	if (n)
		snprintf(out, 256, "%s.%u%s", l->name, n, suffix);
	else
		snprintf(out, 256, "%s%s", l->name, suffix);
}

void compression_stop(struct logfile *l)
{
	struct compression *c = STEAL(l->compression);
	char name[256];

	if (!c)
		return;
	deflateEnd(&c->z);
	close(c->in);
	close(c->out);
	free(c);
	name_of(l, 0, ".gz", name);
	unlinkat(l->dir, name, 0);
}

void compression_start(struct logfile *l)
{
	struct compression *c = XNEW(struct compression);
	char name[256];

	name_of(l, 1, "", name);
	c->in = openat(l->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	name_of(l, 0, ".gz", name);
	c->out = c->in < 0 ? -1 : openat(l->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (c->out < 0 || deflateInit2(&c->z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
		/* It stays as it is. */
		fd_close(&c->in);
		fd_close(&c->out);
		free(c);
		return;
	}
	l->compression = c;
}

/* The compressed file takes the plain one's place. */
static void finish(struct logfile *l)
{
	char plain[256], temporary[256], done[256];

	name_of(l, 1, "", plain);
	name_of(l, 0, ".gz", temporary);
	name_of(l, 1, ".gz", done);
	if (renameat(l->dir, temporary, l->dir, done) == 0)
		unlinkat(l->dir, plain, 0);
	compression_stop(l);
}

bool compression_step(struct logfile *l)
{
	struct compression *c = l->compression;

	if (!c)
		return false;
	ssize_t n = read(c->in, c->from, sizeof c->from);
	if (n < 0) {
		compression_stop(l);
		return false;
	}
	c->z.next_in = c->from;
	c->z.avail_in = (unsigned)n;
	int r;
	do {
		c->z.next_out = c->to;
		c->z.avail_out = sizeof c->to;
		r = deflate(&c->z, n == 0 ? Z_FINISH : Z_NO_FLUSH);
		size_t have = sizeof c->to - c->z.avail_out;
		if (write(c->out, c->to, have) != (ssize_t)have) {
			compression_stop(l); /* the disk is full */
			return false;
		}
	} while (c->z.avail_out == 0);
	if (r == Z_STREAM_END)
		finish(l);
	return l->compression;
}

void logfile_rotate(struct logfile *l)
{
	static const char *const suffixes[] = {"", ".gz"};
	char from[256], to[256];

	/* What is being compressed gets another number. */
	while (compression_step(l))
		;
	for (unsigned i = l->files - 1; i > 0; i--)
		for (size_t s = 0; s < ARRAY_LEN(suffixes); s++) {
			name_of(l, i, suffixes[s], to);
			name_of(l, i - 1, suffixes[s], from);
			/* Whichever the older one is. */
			if (i == l->files - 1)
				unlinkat(l->dir, to, 0);
			if (i > 1 || s == 0)
				renameat(l->dir, from, l->dir, to);
		}
	if (l->files == 1)
		unlinkat(l->dir, l->name, 0);
	int fd = openat(l->dir, l->name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return; /* the old one goes on growing until there are descriptors again */
	close(l->fd);
	l->fd = fd;
	l->size = 0;
	l->rotated++;
	if (l->compress && l->files > 1)
		compression_start(l);
}
