/*
 * Can apid serve by a config? Certificates and keys are files of the admin's that only apid parses, at its start: so a
 * first apid looks at them and ends, before one that serves is stopped for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/config.h"
#include "lib/fd.h"
#include "lib/times.h"
#include "lib/util.h"
#include "pouchd/supervisor.h"

static bool has_certificates(const struct config *config)
{
	for (size_t i = 0; i < config->listeners.n; i++)
		if (config->listeners.v[i].type == LISTENER_TLS)
			return true;
	return false;
}

/* What it says until it ends, or the time is over. Bytes in `text`, or -ETIMEDOUT. */
static ssize_t read_until_end(int fd, char *text, size_t size, uint32_t ms)
{
	int64_t end = monotonic_ms() + ms, left;
	size_t len = 0;

	while ((left = end - monotonic_ms()) > 0) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		ssize_t n = read(fd, text + len, size - len);
		if (n <= 0)
			return (ssize_t)len;
		len += (size_t)n;
	}
	return -ETIMEDOUT;
}

int front_check(const struct supervisor *s, const struct config *config, int config_fd, struct err *e)
{
	char text[ERR_TEXT_MAX];
	int ends[2], status = 0;

	if (!has_certificates(config))
		return 0;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "pipe for apid's answer");
	AUTO_CLOSE int answer = ends[0];
	const struct spawn_fd fds[] = {{"config", config_fd}, {"check", ends[1]}};
	pid_t pid = spawn(s, PROC_apid, fds, ARRAY_LEN(fds), e);
	close(ends[1]);
	if (pid < 0)
		return pid;
	ssize_t n = read_until_end(answer, text, sizeof text - 1, config->supervisor_start_timeout);
	if (n < 0)
		kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	if (n < 0)
		return err_set(e, -ETIMEDOUT, "apid does not come to an end with the certificates");
	text[n] = '\0';
	if (n > 0 || status != 0)
		return err_set(e, -EINVAL, "%s", n > 0 ? text : "apid could not look at the certificates");
	return 0;
}
