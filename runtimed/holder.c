/* holder: which process of the host has a socket: netd, which meets it, may not look into processes. */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"
#include "runtimed/runtimed.h"

#define COMM_MAX 64

static bool has_socket(int proc, const char *pid, const char *socket)
{
	AUTO_FREE char *path = xasprintf("%s/fd", pid);
	const int fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	char target[64];
	bool found = false;

	if (!dir)
		return false;
	while (!found && (entry = readdir(dir))) {
		const ssize_t n = readlinkat(fd, entry->d_name, target, sizeof target - 1);

		target[n < 0 ? 0 : n] = '\0';
		found = str_eq(target, socket);
	}
	closedir(dir);
	return found;
}

static void read_name(int proc, const char *pid, char name[COMM_MAX])
{
	AUTO_FREE char *path = xasprintf("%s/comm", pid);
	AUTO_CLOSE int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	const ssize_t n = fd < 0 ? -1 : read(fd, name, COMM_MAX - 1);

	name[n < 0 ? 0 : n] = '\0';
	/* A process chooses its name: nothing in it reaches an answer but what can be printed. */
	for (char *at = name; *at; at++)
		if (!isprint((unsigned char)*at))
			*at = at[1] ? '?' : '\0';
}

void on_socket_holder(struct ipc_request *req, struct socket_holder *m, struct runtimed *rt)
{
	struct socket_held held = {0};
	char socket[64], name[COMM_MAX] = "";
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	(void)rt;
	snprintf(socket, sizeof socket, "socket:[%llu]", (unsigned long long)m->inode);
	while (proc && !held.pid && (entry = readdir(proc))) {
		if (!isdigit((unsigned char)entry->d_name[0]) || !has_socket(dirfd(proc), entry->d_name, socket))
			continue;
		held.pid = (uint32_t)atoi(entry->d_name);
		read_name(dirfd(proc), entry->d_name, name);
		held.name = name;
	}
	if (proc)
		closedir(proc);
	ipc_reply(req, &held);
}
