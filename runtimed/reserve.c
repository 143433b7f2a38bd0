#include "runtimed/reserve.h"

#include <fcntl.h>
#include <unistd.h>

#include "lib/util.h"

#define BYTES (256 << 10) /* records of some hundred removals */

struct reserve {
	char *path;
	bool kept;
};

void reserve_keep(struct reserve *r)
{
	if (r->kept)
		return;
	AUTO_CLOSE int fd = open(r->path, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
	r->kept = fd >= 0 && posix_fallocate(fd, 0, BYTES) == 0;
	/* A part of it is worth more to others. */
	if (fd >= 0 && !r->kept)
		unlink(r->path);
}

bool reserve_use(struct reserve *r)
{
	bool had = r->kept && unlink(r->path) == 0;

	r->kept = false;
	return had;
}

struct reserve *reserve_new(const char *path)
{
	struct reserve *r = XNEW(struct reserve);

	r->path = xasprintf("%s.reserve", path);
	reserve_keep(r);
	return r;
}

void reserve_free(struct reserve *r)
{
	if (!r)
		return;
	free(r->path);
	free(r);
}
