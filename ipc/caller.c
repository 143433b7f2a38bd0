#include "ipc/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/util.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5; newer than Debian 12's headers */
#endif

/* Ids of the engine's processes: ids.base and the 15 above it (lib/config.def). */
#define ENGINE_IDS 16

static int refuse(struct err *e, const char *why)
{
	err_set(e, -EPERM, "permission denied: %s", why);
	if (e)
		e->status = 403;
	return -EPERM;
}

/* ---- the socket ---- */

static int read_groups(int fd, struct caller *c, struct err *e)
{
	gid_t few[32];
	socklen_t len = sizeof few;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, few, &len) == 0) {
		c->groups = xmemdup(few, len);
		c->ngroups = len / sizeof(gid_t);
		return 0;
	}
	if (errno != ERANGE)
		return err_sys(e, -errno, "read the client's groups");
	/* The kernel has put the length that it needs into `len`; a peer's groups do not change after connect(2). */
	c->groups = xcalloc(1, len);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, c->groups, &len) < 0)
		return err_sys(e, -errno, "read the client's groups");
	c->ngroups = len / sizeof(gid_t);
	return 0;
}

/*
 * An accepted socket bears the name of its listener. The connecting end of a connection and a socketpair have none, and
 * the "peer" of the former would be whoever listens there, root's services included.
 */
static int read_socket_name(int fd, struct caller *c, struct err *e)
{
	struct sockaddr_un sun = {0};
	socklen_t len = sizeof sun;

	if (getsockname(fd, (struct sockaddr *)&sun, &len) < 0)
		return err_sys(e, -errno, "read the name of the client's socket");
	if (sun.sun_family != AF_UNIX || len <= offsetof(struct sockaddr_un, sun_path) || sun.sun_path[0] != '/')
		return refuse(e, "the client's socket was accepted by no listener");
	snprintf(c->socket, sizeof c->socket, "%.*s", (int)sizeof sun.sun_path - 1, sun.sun_path);
	return 0;
}

static int read_peer(int fd, uid_t ids_base, struct caller *c, struct err *e)
{
	struct ucred cred;
	socklen_t len = sizeof cred;
	int type = 0, pidfd = -1;
	socklen_t type_len = sizeof type, pidfd_len = sizeof pidfd;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0 || type != SOCK_STREAM)
		return refuse(e, "the client's socket is no stream");
	int r = read_socket_name(fd, c, e);
	if (r < 0)
		return r;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || len != sizeof cred)
		return err_sys(e, -errno, "read the client's credentials");
	if (cred.uid == (uid_t)-1)
		return refuse(e, "the client has no user id here");
	if (cred.uid >= ids_base && cred.uid - ids_base < ENGINE_IDS)
		return refuse(e, "the engine's own processes are no clients");
	c->local = true;
	c->uid = cred.uid;
	c->gid = cred.gid;
	c->pid = cred.pid;
	r = read_groups(fd, c, e);
	if (r < 0)
		return r;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &pidfd_len) == 0)
		c->pidfd = pidfd;
	return 0;
}

/* ---- /proc: recorded, never decided on ---- */

static ssize_t read_proc(int proc_fd, pid_t pid, const char *file, char *buf, size_t size)
{
	char path[64];

	snprintf(path, sizeof path, "%d/%s", (int)pid, file);
	AUTO_CLOSE int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, buf, size - 1);
	buf[n > 0 ? n : 0] = 0;
	return n;
}

static void parse_loginuid(const char *text, struct caller *c)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (end != text && v <= UINT32_MAX)
		c->loginuid = (uint32_t)v;
}

/* Lines are "id:controllers:path": the unified hierarchy's, else systemd's named one, else the first. */
static void parse_cgroup(char *text, struct caller *c)
{
	const char *best = NULL;
	int best_rank = 0;
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *controllers = strchr(line, ':');
		const char *path = controllers ? strchr(controllers + 1, ':') : NULL;
		int rank = !path ? 0 : str_starts(line, "0::/") ? 2 : str_starts(controllers, ":name=systemd:") ? 3 : 1;

		/* On a hybrid host the unified hierarchy holds everything in its root. */
		if (rank == 2 && str_eq(path, ":/"))
			rank = 1;
		if (rank > best_rank) {
			best_rank = rank;
			best = path + 1;
		}
	}
	if (best && grammar_check(G_TEXT, best, strlen(best)))
		snprintf(c->cgroup, sizeof c->cgroup, "%s", best);
}

/* A process that has not exited yet held its pid all the time, so what was read under that pid was its own. */
static bool still_alive(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return poll(&p, 1, 0) == 0;
}

static void read_trace(int proc_fd, struct caller *c)
{
	char loginuid[32], cgroup[2048];

	if (proc_fd < 0 || c->pidfd < 0 || c->pid <= 0)
		return;
	ssize_t n = read_proc(proc_fd, c->pid, "loginuid", loginuid, sizeof loginuid);
	ssize_t m = read_proc(proc_fd, c->pid, "cgroup", cgroup, sizeof cgroup);
	if (!still_alive(c->pidfd))
		return;
	if (n > 0)
		parse_loginuid(loginuid, c);
	if (m > 0)
		parse_cgroup(cgroup, c);
}

/* ---- */

int caller_read(const struct ipc_asker *asker, int proc_fd, uid_t ids_base, struct caller *out, struct err *e)
{
	*out = (struct caller){
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
		.pidfd = -1,
		.loginuid = CALLER_NO_LOGINUID,
		.listener = asker->listener,
	};
	if ((asker->caller >= 0) == (asker->attested != NULL))
		return refuse(e, "a client is known by its socket or by its certificate");
	if (asker->attested) {
		if ((size_t)snprintf(out->attested, sizeof out->attested, "%s", asker->attested) >=
		    sizeof out->attested)
			return refuse(e, "the names in the client's certificate are too long");
		return 0;
	}
	int r = read_peer(asker->caller, ids_base, out, e);
	if (r < 0) {
		caller_clean(out);
		return r;
	}
	read_trace(proc_fd, out);
	return 0;
}

void caller_clean(struct caller *c)
{
	fd_close(&c->pidfd);
	free(c->groups);
	c->groups = NULL;
	c->ngroups = 0;
}

bool caller_in_group(const struct caller *c, gid_t gid)
{
	if (!c->local)
		return false;
	if (c->gid == gid)
		return true;
	for (size_t i = 0; i < c->ngroups; i++)
		if (c->groups[i] == gid)
			return true;
	return false;
}
