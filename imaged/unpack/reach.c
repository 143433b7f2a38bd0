#include "imaged/unpack/reach.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/util.h"

int reach_split(char *path, char **parent, char **name, struct err *e)
{
	char *to = path, *last = path;
	const char *from = path;

	while (*from) {
		size_t n = strcspn(from, "/");
		bool dots = n == 2 && from[0] == '.' && from[1] == '.';
		if (dots)
			return err_set(e, -EBADMSG, "a name with \"..\" in it");
		if (n && !(n == 1 && from[0] == '.')) {
			if (to != path)
				*to++ = '/';
			last = to;
			memmove(to, from, n);
			to += n;
		}
		from += n;
		from += *from == '/';
	}
	*to = '\0';
	*name = last;
	*parent = path;
	if (last == path)
		*parent = last + strlen(last); /* the empty text */
	else
		last[-1] = '\0';
	return 0;
}

const char *reach_shown(const char *name)
{
	static char bufs[2][256];
	static unsigned turn;
	char *buf = bufs[turn++ % 2];
	size_t n = 0;

	for (; n < sizeof bufs[0] - 1 && name[n]; n++)
		buf[n] = (unsigned char)name[n] < 0x20 || (unsigned char)name[n] >= 0x7f ? '?' : name[n];
	buf[n] = '\0';
	return buf;
}

int reach_open(int dir, const char *path, int flags)
{
	return fd_open_within(dir, *path ? path : ".", flags | O_NOFOLLOW,
			      RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
}

/* One directory below `above`: 1; one that is there already stays as it is: 0. */
static int make_one(int above, const char *name, struct err *e)
{
	if (mkdirat(above, name, 0755) < 0)
		return errno == EEXIST ? 0 : err_sys(e, -errno, "%s", reach_shown(name));
	if (fchownat(above, name, 0, 0, AT_SYMLINK_NOFOLLOW) < 0 || fchmodat(above, name, 0755, 0) < 0)
		return err_sys(e, -errno, "%s", reach_shown(name));
	return 1;
}

int reach_make(int dir, const char *path, struct err *e)
{
	AUTO_FREE char *copy = xstrdup(path);
	AUTO_CLOSE int above = reach_open(dir, "", O_PATH | O_DIRECTORY);
	char *state = NULL;
	int made = 0;

	if (above < 0)
		return err_sys(e, above, "the layer's directory");
	for (char *name = strtok_r(copy, "/", &state); name; name = strtok_r(NULL, "/", &state)) {
		int rc = make_one(above, name, e);
		int next = rc < 0 ? rc : reach_open(above, name, O_PATH | O_DIRECTORY);
		if (rc < 0)
			return rc;
		if (next < 0)
			return err_set(e, -EBADMSG, "%s: lies behind something that is no directory of the layer",
				       reach_shown(path));
		fd_close(&above);
		above = next;
		made += rc;
	}
	return made;
}
