#include "lib/users.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/util.h"

#define FILE_BYTES_MAX (16u << 20) /* of a passwd or group file */
#define LINE_BYTES     (64u << 10) /* a longer line is no entry */

/* A number of an id; -1 when `text` is none, -2 when it is out of range. */
static long id_number(const char *text)
{
	char *end;

	if (!isdigit((unsigned char)text[0]) && text[0] != '-' && text[0] != '+')
		return -1;
	errno = 0;
	long v = strtol(text, &end, 10);
	if (*end)
		return -1;
	return errno || v < 0 || v > INT32_MAX || !isdigit((unsigned char)text[0]) ? -2 : v;
}

/* Cut at its colons and given to `fn`; returns what that says. */
static bool one_line(char *line, bool (*fn)(char **field, void *arg), void *arg)
{
	char *field[4] = {line};
	size_t f = 1;

	for (char *p = line; *p && f < ARRAY_LEN(field); p++)
		if (*p == ':') {
			*p = '\0';
			field[f++] = p + 1;
		}
	return f == ARRAY_LEN(field) && fn(field, arg);
}

/*
 * Calls `fn` with each line's first three fields, and all behind them as the fourth, until it returns true. A missing
 * file has no lines.
 */
static int each_line(const char *path, bool (*fn)(char **field, void *arg), void *arg, struct err *e)
{
	struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS};
	AUTO_CLOSE int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
	AUTO_FREE char *line = xcalloc(LINE_BYTES, 1);
	char buf[4096];
	size_t have = 0, total = 0;
	struct stat st;
	ssize_t n;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, -errno, "open %s of the image", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "%s of the image is not a file", path);
	while ((n = read(fd, buf, sizeof buf)) > 0) {
		if ((total += (size_t)n) > FILE_BYTES_MAX)
			return err_set(e, -EFBIG, "%s of the image is larger than 16 MiB", path);
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] != '\n') {
				have += have < LINE_BYTES;
				line[have - 1] = buf[i];
				continue;
			}
			bool whole = have < LINE_BYTES;
			line[whole ? have : 0] = '\0';
			have = 0;
			if (one_line(line, fn, arg))
				return 0;
		}
	}
	if (n == 0 && have && have < LINE_BYTES) {
		line[have] = '\0';
		one_line(line, fn, arg);
	}
	return n < 0 ? err_sys(e, -errno, "read %s of the image", path) : 0;
}

struct search {
	const char *name; /* asked for */
	long number;	  /* asked for, when it is one */
	bool found;
	struct user *who;
};

/* "1000" is the id, also when somebody is called so: a name must not lend its id to a number. */
static bool is_asked_for(const struct search *s, const char *name, long id)
{
	return s->number >= 0 ? s->number == id : strcmp(name, s->name) == 0;
}

static bool is_user(char **field, void *arg)
{
	struct search *s = arg;
	char *rest = field[3], *group = strsep(&rest, ":");
	long uid = id_number(field[2]), gid = id_number(group);

	strsep(&rest, ":"); /* the name in full */
	const char *home = strsep(&rest, ":");

	if (uid < 0 || gid < 0 || !is_asked_for(s, field[0], uid))
		return false;
	snprintf(s->who->name, sizeof s->who->name, "%s", field[0]);
	if (home && strlen(home) < sizeof s->who->home)
		snprintf(s->who->home, sizeof s->who->home, "%s", home);
	s->who->uid = uid;
	s->who->gid = gid;
	return s->found = true;
}

static bool is_group(char **field, void *arg)
{
	struct search *s = arg;
	long gid = id_number(field[2]);

	if (gid < 0 || !is_asked_for(s, field[0], gid))
		return false;
	s->number = gid;
	return s->found = true;
}

static void add_group(struct user *w, long gid)
{
	for (size_t i = 0; i < w->ngroups; i++)
		if (w->groups[i] == gid)
			return;
	if (w->ngroups < USER_GROUPS_MAX)
		w->groups[w->ngroups++] = gid;
}

static bool is_member(char **field, void *arg)
{
	struct user *w = arg;
	long gid = id_number(field[2]);
	char *rest = NULL;

	for (char *m = strtok_r(field[3], ",", &rest); m; m = strtok_r(NULL, ",", &rest))
		if (gid >= 0 && strcmp(m, w->name) == 0)
			add_group(w, gid);
	return false;
}

static int find_group(const char *text, long *gid, struct err *e)
{
	struct search s = {.name = text, .number = id_number(text)};

	if (s.number == -2)
		return err_http(e, 400, "group id %s is out of range", text);
	int r = each_line("/etc/group", is_group, &s, e);
	if (r < 0)
		return r;
	if (!s.found && s.number < 0)
		return err_http(e, 400, "unable to find group %s: no matching entries in group file", text);
	*gid = s.number;
	return 0;
}

static int find_user(const char *text, struct user *w, struct err *e)
{
	struct search s = {.name = text, .number = id_number(text), .who = w};

	if (s.number == -2)
		return err_http(e, 400, "user id %s is out of range", text);
	int r = each_line("/etc/passwd", is_user, &s, e);
	if (r < 0 || s.found)
		return r;
	if (s.number < 0)
		return err_http(e, 400, "unable to find user %s: no matching entries in passwd file", text);
	w->uid = s.number;
	return 0;
}

int user_find(const char *text, struct user *out, struct err *e)
{
	char user[256];
	char *group;

	*out = (struct user){0};
	if (snprintf(user, sizeof user, "%s", *text ? text : "0") >= (int)sizeof user)
		return err_http(e, 400, "the user's name is too long");
	if ((group = strchr(user, ':')))
		*group++ = '\0';
	int r = find_user(*user ? user : "0", out, e);
	if (r == 0 && group && *group)
		r = find_group(group, &out->gid, e);
	else if (r == 0 && *out->name)
		r = each_line("/etc/group", is_member, out, e);
	/* Else a set-group-id program would take it away, and with it what is forbidden to that group. */
	if (r == 0)
		add_group(out, out->gid);
	return r;
}

int user_add_group(struct user *u, const char *text, struct err *e)
{
	long gid;
	int r = find_group(text, &gid, e);

	if (r == 0)
		add_group(u, gid);
	return r;
}
