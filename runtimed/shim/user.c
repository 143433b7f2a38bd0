/*
 * user: who the container's process is, by the image's own /etc/passwd and /etc/group. The files are read by a child
 * that has the container's root as its own and no power outside of it; nothing of the image is loaded.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/users.h"
#include "lib/util.h"
#include "runtimed/shim/shim.h"

static int look_up(const struct shim_args *a, struct user *w, struct err *e)
{
	int r = user_find(a->user, w, e);

	for (size_t i = 0; r == 0 && i < a->ngroups; i++)
		r = user_add_group(w, a->groups[i], e);
	return r;
}

/* Ids outside the range do not exist in the container. */
static int check_range(const struct shim_args *a, const struct user *w, struct err *e)
{
	long most = w->uid > w->gid ? w->uid : w->gid;

	for (size_t i = 0; i < w->ngroups; i++)
		most = w->groups[i] > most ? w->groups[i] : most;
	if (a->size && most >= (long)a->size)
		return err_http(e, 400, "id %ld is outside the container's range of %u ids", most, a->size);
	return 0;
}

/* Before it reads what the image brought: little memory, no capability to regain, the container's own root's ids. */
static int give_up(const struct shim_args *a, struct err *e)
{
#ifndef POUCH_SANITIZED /* AddressSanitizer maps terabytes */
	const struct rlimit memory = {64u << 20, 64u << 20};

	if (setrlimit(RLIMIT_AS, &memory) < 0)
		return err_sys(e, -errno, "limit the memory");
#endif
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return err_sys(e, -errno, "drop a capability");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, -errno, "no new privileges");
	/* Files that only the container's root may read are read as it; with the host's ids, as nobody. */
	uid_t id = a->size ? a->base : 65534;
	if (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0)
		return err_sys(e, -errno, "become the container's root");
	return 0;
}

static _Noreturn void child(const struct shim_args *a, int root, int out)
{
	struct user w = {0};
	struct err e = {0};
	char text[4096];

	if (fchdir(root) < 0 || chroot(".") < 0 || chdir("/") < 0)
		err_sys(&e, -errno, "enter the container's root");
	else if (give_up(a, &e) == 0 && look_up(a, &w, &e) == 0)
		check_range(a, &w, &e);
	size_t n;
	if (e.code) {
		n = (size_t)snprintf(text, sizeof text, "!%d %s", e.status, e.text);
	} else {
		n = (size_t)snprintf(text, sizeof text, "%ld %ld ", w.uid, w.gid);
		for (size_t i = 0; i < w.ngroups; i++)
			n += (size_t)snprintf(text + n, sizeof text - n, "%s%ld", i ? "," : "", w.groups[i]);
		n += (size_t)snprintf(text + n, sizeof text - n, " %s", *w.home ? w.home : "/");
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
