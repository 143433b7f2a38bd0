/*
 * user: who the container's process is, by the image's own /etc/passwd and /etc/group. The files are read by a child
 * that has the container's root as its own and no power outside of it; nothing of the image is loaded.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/shim/shim.h"

#define FILE_BYTES_MAX (16u << 20) /* of a passwd or group file */
#define LINE_MAX_      1024	   /* a longer line is no entry */
#define GROUPS_MAX     256

struct who {
	char name[256];
	long uid, gid;
	long groups[GROUPS_MAX];
	size_t ngroups;
};

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
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char buf[4096], line[LINE_MAX_];
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
				have += have < sizeof line;
				line[have - 1] = buf[i];
				continue;
			}
			bool whole = have < sizeof line;
			line[whole ? have : 0] = '\0';
			have = 0;
			if (one_line(line, fn, arg))
				return 0;
		}
	}
	if (n == 0 && have && have < sizeof line) {
		line[have] = '\0';
		one_line(line, fn, arg);
	}
	return n < 0 ? err_sys(e, -errno, "read %s of the image", path) : 0;
}

struct search {
	const char *name; /* asked for */
	long number;	  /* asked for, when it is one */
	bool found;
	struct who *who;
};

static bool is_user(char **field, void *arg)
{
	struct search *s = arg;
	field[3][strcspn(field[3], ":")] = '\0';
	long uid = id_number(field[2]), gid = id_number(field[3]);

	if (uid < 0 || gid < 0 || (strcmp(field[0], s->name) != 0 && (s->number < 0 || s->number != uid)))
		return false;
	snprintf(s->who->name, sizeof s->who->name, "%s", field[0]);
	s->who->uid = uid;
	s->who->gid = gid;
	return s->found = true;
}

static bool is_group(char **field, void *arg)
{
	struct search *s = arg;
	long gid = id_number(field[2]);

	if (gid < 0 || (strcmp(field[0], s->name) != 0 && (s->number < 0 || s->number != gid)))
		return false;
	s->number = gid;
	return s->found = true;
}

static void add_group(struct who *w, long gid)
{
	for (size_t i = 0; i < w->ngroups; i++)
		if (w->groups[i] == gid)
			return;
	if (w->ngroups < GROUPS_MAX)
		w->groups[w->ngroups++] = gid;
}

static bool is_member(char **field, void *arg)
{
	struct who *w = arg;
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

static int find_user(const char *text, struct who *w, struct err *e)
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

static int look_up(const struct shim_args *a, struct who *w, struct err *e)
{
	char user[256];
	char *group;

	if (snprintf(user, sizeof user, "%s", *a->user ? a->user : "0") >= (int)sizeof user)
		return err_http(e, 400, "the user's name is too long");
	if ((group = strchr(user, ':')))
		*group++ = '\0';
	int r = find_user(*user ? user : "0", w, e);
	if (r == 0 && group && *group)
		r = find_group(group, &w->gid, e);
	else if (r == 0 && *w->name)
		r = each_line("/etc/group", is_member, w, e);
	for (size_t i = 0; r == 0 && i < a->ngroups; i++) {
		long gid;
		r = find_group(a->groups[i], &gid, e);
		if (r == 0)
			add_group(w, gid);
	}
	return r;
}

/* Ids outside the range do not exist in the container. */
static int check_range(const struct shim_args *a, const struct who *w, struct err *e)
{
	long most = w->uid > w->gid ? w->uid : w->gid;

	for (size_t i = 0; i < w->ngroups; i++)
		most = w->groups[i] > most ? w->groups[i] : most;
	if (a->size && most >= (long)a->size)
		return err_http(e, 400, "id %ld is outside the container's range of %u ids", most, a->size);
	return 0;
}

static _Noreturn void child(const struct shim_args *a, int root, int out)
{
	struct who w = {0};
	struct err e = {0};
	char text[4096];
	const struct rlimit memory = {64u << 20, 64u << 20};

	if (fchdir(root) < 0 || chroot(".") < 0 || chdir("/") < 0) {
		err_sys(&e, -errno, "enter the container's root");
	} else {
		setrlimit(RLIMIT_AS, &memory);
		for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		/* Files that only the container's root may read are read as it; with the host's ids, as nobody. */
		uid_t id = a->size ? a->base : 65534;
		if (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0)
			err_sys(&e, -errno, "become the container's root");
		else if (look_up(a, &w, &e) == 0)
			check_range(a, &w, &e);
	}
	size_t n;
	if (e.code) {
		n = (size_t)snprintf(text, sizeof text, "!%d %s", e.status, e.text);
	} else {
		n = (size_t)snprintf(text, sizeof text, "%ld %ld ", w.uid, w.gid);
		for (size_t i = 0; i < w.ngroups; i++)
			n += (size_t)snprintf(text + n, sizeof text - n, "%s%ld", i ? "," : "", w.groups[i]);
	}
	(void)!write(out, text, n < sizeof text ? n : sizeof text - 1);
	_exit(0);
}

int user_lookup(const struct shim_args *a, int root, char *out, size_t size, struct err *e)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "pipe");
	pid_t pid = fork();
	if (pid == 0)
		child(a, root, p[1]);
	close(p[1]);
	AUTO_CLOSE int in = p[0];
	if (pid < 0)
		return err_sys(e, -errno, "fork");
	ssize_t n = fd_read_full(in, out, size - 1, e);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (n <= 0)
		return err_set(e, -EIO, "the look-up of the user failed");
	out[n] = '\0';
	if (out[0] == '!') {
		char *text;
		long status = strtol(out + 1, &text, 10);
		return err_http(e, status ? (int)status : 500, "%s", text + (*text == ' '));
	}
	return 0;
}
