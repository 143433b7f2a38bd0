/* netfiles: /etc/hosts and /etc/resolv.conf of a running container, as its networks change. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

#define NETWORK_FILE_MAX (1u << 20)

/* `len` bytes of a line, its end included: are they a line of `text`? */
static bool has_line(const char *text, const char *line, size_t len)
{
	for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n') {
		const size_t n = strcspn(at, "\n");

		if (n + (at[n] == '\n') == len && memcmp(at, line, len) == 0)
			return true;
	}
	return false;
}

/* The new text, and behind it what is in the present one and was not in the old one. */
static char *with_own_lines(const char *now, const char *old, const char *text)
{
	const size_t room = strlen(text) + strlen(now) + 1;
	char *out = xrealloc(NULL, room, 1);
	size_t len = strlen(text);

	memcpy(out, text, len + 1);
	for (const char *at = now; *at;) {
		size_t n = strcspn(at, "\n");

		n += at[n] == '\n';
		if (!has_line(old, at, n)) {
			memcpy(out + len, at, n);
			len += n;
			out[len] = '\0';
		}
		at += n;
	}
	return out;
}

static int rewrite(int fd, const char *name, const char *text, struct err *e)
{
	if (lseek(fd, 0, SEEK_SET) < 0 || ftruncate(fd, 0) < 0)
		return err_sys(e, -errno, "write the container's %s", name);
	return fd_write_all(fd, text, strlen(text), e) < 0 ? err_prefix(e, "write the container's %s", name) : 0;
}

/* A file that the container can write, too: read as bytes, and only as far as the bound. */
static int update(int dir, const char *name, const char *old, const char *text, bool keep_own_lines, struct err *e)
{
	AUTO_FREE char *now = NULL, *merged = NULL;
	size_t len = 0;

	if (!old || !text || str_eq(old, text))
		return 0;
	AUTO_CLOSE int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(e, -errno, "open the container's %s", name);
	int r = fd_read_file(fd, NETWORK_FILE_MAX, &now, &len, e);
	if (r < 0)
		return r;
	if (!keep_own_lines)
		return str_eq(now, old) ? rewrite(fd, name, text, e) : 0;
	merged = with_own_lines(now, old, text);
	return rewrite(fd, name, merged, e);
}

int launch_network_files_update(struct launch_run *run, const struct launch_network_files *old,
				const struct launch_network_files *files, struct err *e)
{
	char path[ID_CHARS + 8];

	snprintf(path, sizeof path, "%s/files", run->id);
	AUTO_CLOSE int dir = openat(run->launch->c.state_dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0)
		return err_sys(e, -errno, "open the container's files");
	int r = update(dir, "hosts", old->hosts, files->hosts, true, e);
	return r == 0 ? update(dir, "resolv.conf", old->resolv_conf, files->resolv_conf, false, e) : r;
}
