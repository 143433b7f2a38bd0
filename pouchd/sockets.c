/* The listening sockets: made once, kept for as long as pouchd runs, whoever listens. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "lib/config.h"
#include "lib/fd.h"
#include "lib/util.h"
#include "pouchd/supervisor.h"

#define BACKLOG 4096

int make_directory(const char *path, mode_t mode, struct err *e)
{
	int r = fd_make_parents(path, e);

	if (r < 0)
		return r;
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return err_sys(e, -errno, "create %s", path);
	struct stat st;
	if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != 0)
		return err_set(e, -ENOTDIR, "%s is not a directory of root's", path);
	if (chmod(path, mode) < 0)
		return err_sys(e, -errno, "chmod %s", path);
	return 0;
}

/* A UNIX socket at `path`, in the place of a socket that an earlier engine has left there. */
static int bind_unix(const char *path, int type, mode_t mode, struct err *e)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct stat st;

	if ((size_t)snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path) >= sizeof sun.sun_path)
		return err_set(e, -ENAMETOOLONG, "%s: too long for a socket; use a shorter --run", path);
	if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return err_set(e, -EEXIST, "%s is in the way, and not a socket", path);
	unlink(path);
	AUTO_CLOSE int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, -errno, "socket");
	mode_t mask = umask(0177);
	int r = bind(fd, (const struct sockaddr *)&sun, sizeof sun) < 0 ? -errno : 0;
	umask(mask);
	if (r < 0)
		return err_sys(e, r, "bind %s", path);
	if (chmod(path, mode) < 0)
		return err_sys(e, -errno, "chmod %s", path);
	return STEAL_FD(fd);
}

int socket_ipc(const char *run, enum process_id id, bool present, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/ipc/%s.sock", run, process_name(id));
	/* The directory is root's alone; a sandbox shows a process those that it may call. */
	AUTO_CLOSE int fd = bind_unix(path, SOCK_SEQPACKET, 0666, e);

	if (fd < 0)
		return fd;
	if (present && listen(fd, BACKLOG) < 0)
		return err_sys(e, -errno, "listen at %s", path);
	return STEAL_FD(fd);
}

int socket_notify(const char *run, struct err *e)
{
	static const int on = 1;
	AUTO_FREE char *path = xasprintf("%s/ipc/notify.sock", run);
	AUTO_CLOSE int fd = bind_unix(path, SOCK_DGRAM, 0600, e);

	if (fd < 0)
		return fd;
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0)
		return err_sys(e, -errno, "SO_PASSCRED");
	return STEAL_FD(fd);
}

/* ---- HTTP ---- */

static bool all_digits(const char *s)
{
	return *s && s[strspn(s, "0123456789")] == '\0';
}

static int find_owner(const struct config_listener *l, uid_t *uid, gid_t *gid, struct err *e)
{
	const struct passwd *pw = all_digits(l->owner) ? NULL : getpwnam(l->owner);
	const char *group = *l->group ? l->group : "pouch";
	const struct group *gr = all_digits(group) ? NULL : getgrnam(group);

	if (!pw && !all_digits(l->owner))
		return err_set(e, -ENOENT, "listener %s: there is no user %s", l->path, l->owner);
	if (!gr && !all_digits(group) && *l->group)
		return err_set(e, -ENOENT, "listener %s: there is no group %s", l->path, l->group);
	*uid = pw ? pw->pw_uid : (uid_t)strtoul(l->owner, NULL, 10);
	*gid = gr ? gr->gr_gid : all_digits(group) ? (gid_t)strtoul(group, NULL, 10) : 0;
	return 0;
}

static int listen_unix(const struct config_listener *l, struct err *e)
{
	uid_t uid;
	gid_t gid;

	int r = find_owner(l, &uid, &gid, e);
	if (r < 0)
		return r;
	AUTO_CLOSE int fd = bind_unix(l->path, SOCK_STREAM, 0600, e);
	if (fd < 0)
		return fd;
	if (chown(l->path, uid, gid) < 0 || chmod(l->path, l->mode) < 0)
		return err_sys(e, -errno, "owner and mode of %s", l->path);
	if (listen(fd, BACKLOG) < 0)
		return err_sys(e, -errno, "listen at %s", l->path);
	return STEAL_FD(fd);
}

static int listen_tcp(const struct config_listener *l, struct err *e)
{
	static const int on = 1;
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)l->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)l->port)};
	bool v4 = inet_pton(AF_INET, l->address, &in.sin_addr) == 1;

	if (!v4 && inet_pton(AF_INET6, l->address, &in6.sin6_addr) != 1)
		return err_set(e, -EINVAL, "listener %s: no address", l->address);
	AUTO_CLOSE int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, -errno, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (!v4)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	const struct sockaddr *address = v4 ? (const struct sockaddr *)&in : (const struct sockaddr *)&in6;
	if (bind(fd, address, v4 ? sizeof in : sizeof in6) < 0 || listen(fd, BACKLOG) < 0)
		return err_sys(e, -errno, "listen at %s port %u", l->address, l->port);
	return STEAL_FD(fd);
}

static int take_passed(struct daemon_fd *passed, size_t n, size_t number)
{
	char name[32];

	snprintf(name, sizeof name, "http-%zu", number);
	for (size_t i = 0; i < n; i++)
		if (strcmp(passed[i].name, name) == 0)
			return STEAL_FD(passed[i].fd);
	return -1;
}

/* Is this very listener already served by a socket of ours? A reload keeps it. */
static int take_kept(struct supervisor *s, const struct config_listener *l)
{
	for (size_t i = 0; s->config && i < s->nhttp; i++) {
		if (s->http[i].passed)
			continue;
		const struct config_listener *old = &s->config->listeners.v[i];
		bool same = (l->type == LISTENER_UNIX) == (old->type == LISTENER_UNIX) &&
			    (l->type == LISTENER_UNIX ? str_eq(l->path, old->path) && str_eq(l->owner, old->owner) &&
								str_eq(l->group, old->group) && l->mode == old->mode
						      : str_eq(l->address, old->address) && l->port == old->port);
		if (same)
			return fcntl(s->http[i].fd, F_DUPFD_CLOEXEC, 3);
	}
	return -1;
}

int sockets_http(struct supervisor *s, const struct config *config, struct daemon_fd *passed, size_t npassed,
		 struct http_socket *out, struct err *e)
{
	for (size_t i = 0; i < config->listeners.n; i++) {
		const struct config_listener *l = &config->listeners.v[i];
		out[i] = (struct http_socket){.fd = take_passed(passed, npassed, i)};
		if (i < s->nhttp && out[i].fd < 0 && s->http[i].passed)
			out[i].fd = fcntl(s->http[i].fd, F_DUPFD_CLOEXEC, 3);
		out[i].passed = out[i].fd >= 0;
		if (out[i].passed)
			continue;
		out[i].fd = take_kept(s, l);
		if (out[i].fd < 0)
			out[i].fd = l->type == LISTENER_UNIX ? listen_unix(l, e) : listen_tcp(l, e);
		if (out[i].fd < 0) {
			int r = out[i].fd;
			sockets_http_close(out, i);
			return r;
		}
		out[i].path = l->type == LISTENER_UNIX ? xstrdup(l->path) : NULL;
	}
	return 0;
}

void sockets_http_close(struct http_socket *sockets, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		fd_close(&sockets[i].fd);
		free(sockets[i].path);
		sockets[i].path = NULL;
	}
}
