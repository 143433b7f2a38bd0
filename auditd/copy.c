#include "auditd/copy.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/log.h"
#include "lib/util.h"

#define IDENTIFIER "pouch-audit"
/* RFC 3164: facility authpriv (10), severity notice (5). */
#define PRIORITY (10 * 8 + 5)

struct copy {
	enum config_audit_copy to;
	int fd;
	bool failed; /* said once */
};

static int connect_to(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof sun) < 0)
		return -errno;
	return STEAL_FD(fd);
}

struct copy *copy_new(const struct config *config)
{
	enum config_audit_copy to = config->audit_copy;
	const char *path = to == AUDIT_COPY_SYSLOG ? config->log_syslog_socket : config->log_journald_socket;

	if (to == AUDIT_COPY_NONE)
		return NULL;
	int fd = connect_to(path);
	if (fd < 0) {
		log_warn("no copies of audit records: %s: %s", path, strerror(-fd));
		return NULL;
	}
	struct copy *c = XNEW(struct copy);
	*c = (struct copy){.to = to, .fd = fd};
	return c;
}

void copy_free(struct copy *c)
{
	if (!c)
		return;
	fd_close(&c->fd);
	free(c);
}

static char *datagram(const struct copy *c, const char *line)
{
	if (c->to == AUDIT_COPY_JOURNALD)
		return xasprintf("PRIORITY=5\nSYSLOG_FACILITY=10\nSYSLOG_IDENTIFIER=%s\nMESSAGE=%s\n", IDENTIFIER,
				 line);
	/* Without the time: local time needs files that the sandbox does not have, and the collector has a clock. */
	return xasprintf("<%d>" IDENTIFIER ": %s", PRIORITY, line);
}

void copy_send(struct copy *c, const char *line)
{
	if (!c)
		return;
	AUTO_FREE char *text = datagram(c, line);
	bool failed = send(c->fd, text, strlen(text), MSG_NOSIGNAL) < 0;
	if (failed && !c->failed)
		log_warn("copy of an audit record not sent: %s", strerror(errno));
	c->failed = failed;
}
