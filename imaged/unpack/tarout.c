#include "imaged/unpack/tarout.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 512

static const char zeros[2 * BLOCK];

static int put(struct tarout *t, const void *data, size_t len, struct err *e)
{
	const char *p = data;

	while (len) {
		struct pollfd fds[2] = {{.fd = t->fd, .events = POLLOUT},
					{.fd = t->watch, .events = POLLIN | POLLRDHUP}};
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return err_sys(e, -errno, "poll");
		if (fds[1].revents)
			return err_set(e, -ECANCELED, "cancelled");
		ssize_t n = write(t->fd, p, len);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return err_sys(e, -errno, "write the archive");
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static void put_size(char *field, uint64_t size)
{
	if (size < 1ull << 33) {
		snprintf(field, 12, "%011" PRIo64, size);
		return;
	}
	field[0] = (char)0x80;
	for (int i = 11; i > 0; i--, size >>= 8)
		field[i] = (char)(size & 0xff);
}

static int header(struct tarout *t, char type, const char *name, const char *link, uint64_t size, int64_t time,
		  struct err *e)
{
	char h[BLOCK] = {0};
	unsigned sum = 0;

	if (strlen(name) > 100 || strlen(link) > 100)
		return err_set(e, -ENAMETOOLONG, "%s: too long a name for an archive", name);
	memcpy(h, name, strlen(name));
	snprintf(h + 100, 8, "%07o", type == '5' ? 0755u : 0644u);
	snprintf(h + 108, 8, "%07o", 0u);
	snprintf(h + 116, 8, "%07o", 0u);
	put_size(h + 124, size);
	snprintf(h + 136, 12, "%011" PRIo64, (uint64_t)(time > 0 ? time : 0) & 077777777777u);
	memset(h + 148, ' ', 8);
	h[156] = type;
	memcpy(h + 157, link, strlen(link));
	memcpy(h + 257,
	       "ustar\0"
	       "00",
	       8);
	for (size_t i = 0; i < sizeof h; i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 7, "%06o", sum);
	h[155] = ' ';
	return put(t, h, sizeof h, e);
}

int tarout_file(struct tarout *t, const char *name, uint64_t size, int64_t time, struct err *e)
{
	t->left = size;
	t->pad = (BLOCK - size % BLOCK) % BLOCK;
	return header(t, '0', name, "", size, time, e);
}

int tarout_data(struct tarout *t, const void *data, size_t len, struct err *e)
{
	if (len > t->left)
		return err_set(e, -EIO, "a file grew while it was read");
	t->left -= len;
	return put(t, data, len, e);
}

int tarout_end_file(struct tarout *t, struct err *e)
{
	return t->left ? err_set(e, -EIO, "a file shrank while it was read") : put(t, zeros, (size_t)t->pad, e);
}

int tarout_dir(struct tarout *t, const char *name, int64_t time, struct err *e)
{
	return header(t, '5', name, "", 0, time, e);
}

int tarout_link(struct tarout *t, const char *name, const char *target, int64_t time, struct err *e)
{
	return header(t, '2', name, target, 0, time, e);
}

int tarout_end(struct tarout *t, struct err *e)
{
	return put(t, zeros, sizeof zeros, e);
}
