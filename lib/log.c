#include "lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "lib/config.h"
#include "lib/util.h"

#define LINE_MAX_BYTES 4096

/* The process's one logger. */
static struct {
	const char *daemon;
	enum log_level level;
	enum log_sink sink;
	int fd;
} logger = {.daemon = "pouch", .level = LOG_LEVEL_INFO, .sink = LOG_SINK_STDERR, .fd = -1};

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const int level_priority[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};

static int open_datagram(const char *path, struct err *e)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(e, -errno, "log socket");
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
	if (connect(fd, (const struct sockaddr *)&sun, sizeof sun) < 0)
		return err_sys(e, -errno, "connect to %s", path);
	return STEAL_FD(fd);
}

int log_open(const char *daemon, enum log_level level, enum log_sink sink, const char *path, struct err *e)
{
	int fd = -1;

	if (sink != LOG_SINK_STDERR) {
		fd = open_datagram(path, e);
		if (fd < 0)
			return fd;
	}
	fd_close(&logger.fd);
	logger.daemon = daemon;
	logger.level = level;
	logger.sink = sink;
	logger.fd = fd;
	return 0;
}

void log_begin(const char *daemon, const struct config *config)
{
	const char *path =
		config->log_sink == LOG_SINK_SYSLOG ? config->log_syslog_socket : config->log_journald_socket;
	struct err e;

	if (log_open(daemon, config->log_level, config->log_sink, path, &e) == 0)
		return;
	log_open(daemon, config->log_level, LOG_SINK_STDERR, NULL, NULL);
	log_warn("the log goes to stderr: %s", e.text);
}

void log_set_level(enum log_level level)
{
	logger.level = level;
}

/* A peer's words may stand in a line: quote so that one event stays one line of one field. */
static size_t append_quoted(char *out, size_t at, size_t size, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p && at + 6 < size; p++) {
		if (*p == '"' || *p == '\\') {
			out[at++] = '\\';
			out[at++] = (char)*p;
		} else if (*p < 0x20 || *p == 0x7f) {
			at += (size_t)snprintf(out + at, size - at, "\\x%02x", *p);
		} else {
			out[at++] = (char)*p;
		}
	}
	return at;
}

static size_t append_head(char *line, size_t size, enum log_sink sink, enum log_level level, uint64_t rid)
{
	size_t at = 0;
	int n;

	if (sink == LOG_SINK_STDERR) {
		struct timespec now;
		struct tm tm;
		clock_gettime(CLOCK_REALTIME, &now);
		gmtime_r(&now.tv_sec, &tm);
		at = strftime(line, size, "time=%Y-%m-%dT%H:%M:%S", &tm);
		n = snprintf(line + at, size - at, ".%03ldZ level=%s daemon=%s ", now.tv_nsec / 1000000,
			     level_names[level], logger.daemon);
	} else if (sink == LOG_SINK_SYSLOG) {
		n = snprintf(line, size, "<%d>pouch-%s[%d]: level=%s ", LOG_DAEMON | level_priority[level],
			     logger.daemon, (int)getpid(), level_names[level]);
	} else {
		n = snprintf(line, size,
			     "PRIORITY=%d\nSYSLOG_IDENTIFIER=pouch-%s\nPOUCH_DAEMON=%s\nPOUCH_REQUEST=%llu\nMESSAGE=",
			     level_priority[level], logger.daemon, logger.daemon, (unsigned long long)rid);
	}
	at += n > 0 ? (size_t)n : 0;
	if (rid) {
		n = snprintf(line + at, size - at, "req=%llu ", (unsigned long long)rid);
		at += n > 0 ? (size_t)n : 0;
	}
	return at;
}

static size_t render(char *line, size_t size, enum log_sink sink, enum log_level level, uint64_t rid, const char *text)
{
	size_t at = append_head(line, size - 3, sink, level, rid);

	memcpy(line + at, "msg=\"", 5);
	at = append_quoted(line, at + 5, size - 2, text);
	line[at++] = '"';
	line[at++] = '\n';
	return at;
}

static void write_line(enum log_level level, uint64_t rid, const char *fmt, va_list ap)
{
	char line[LINE_MAX_BYTES] UNINITIALIZED, text[LINE_MAX_BYTES / 2] UNINITIALIZED;
	int saved = errno;

	vsnprintf(text, sizeof text, fmt, ap);

	/* A restarted log daemon has a new socket, which a sandbox keeps out of reach: stderr is always there. */
	size_t n = logger.sink == LOG_SINK_STDERR ? 0 : render(line, sizeof line, logger.sink, level, rid, text);
	if (n == 0 || send(logger.fd, line, n, MSG_NOSIGNAL) < 0) {
		n = render(line, sizeof line, LOG_SINK_STDERR, level, rid, text);
		(void)!write(STDERR_FILENO, line, n);
	}
	errno = saved;
}

void log_line(enum log_level level, uint64_t rid, const char *fmt, ...)
{
	va_list ap;

	if (level > logger.level)
		return;
	va_start(ap, fmt);
	write_line(level, rid, fmt, ap);
	va_end(ap);
}
