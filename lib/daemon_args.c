/* What a process is given by whoever starts it: the command line and LISTEN_FDS (sd_listen_fds(3)). */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/daemon_parts.h"
#include "lib/log.h"
#include "lib/util.h"
#include "lib/version.h"

#define FIRST_FD 3

static const char usage_text[] =
	"usage: %s [--root DIR] [--run DIR] [--config FILE] [--log-level LEVEL] [--set KEY=VALUE]...\n"
	"\n"
	"%s of the Pouch container engine: %s.\n"
	"%s\n"
	"\n"
	"  --root DIR         state (default " DAEMON_DEFAULT_ROOT ")\n"
	"  --run DIR          sockets (default " DAEMON_DEFAULT_RUN ")\n"
	"  --config FILE      settings, see pouch.json(5) (default " DAEMON_DEFAULT_CONFIG ", if it exists)\n"
	"  --log-level LEVEL  error, warn, info or debug\n"
	"  --set KEY=VALUE    one setting, over what the file says\n"
	"  --version          the version, and end\n";

enum { OPT_ROOT = 256, OPT_RUN, OPT_CONFIG, OPT_LEVEL, OPT_SET, OPT_VERSION, OPT_HELP };

static const struct option options[] = {
	{"root", required_argument, NULL, OPT_ROOT},	 {"run", required_argument, NULL, OPT_RUN},
	{"config", required_argument, NULL, OPT_CONFIG}, {"log-level", required_argument, NULL, OPT_LEVEL},
	{"set", required_argument, NULL, OPT_SET},	 {"version", no_argument, NULL, OPT_VERSION},
	{"help", no_argument, NULL, OPT_HELP},		 {NULL, 0, NULL, 0},
};

static void wrong_usage(const char *program, const char *why)
{
	fprintf(stderr, "%s: %s; see --help\n", program, why);
	exit(2);
}

static void add_set(struct daemon_args *a, const char *set)
{
	a->sets = xrealloc(a->sets, a->nsets + 1, sizeof *a->sets);
	a->sets[a->nsets++] = set;
}

static const char *absolute(const char *program, const char *path)
{
	if (path[0] != '/')
		wrong_usage(program, "directories and files are named by absolute paths");
	return path;
}

void daemon_parse_args(struct daemon_args *a, const char *name, const char *owns, int argc, char **argv)
{
	int c;

	*a = (struct daemon_args){.root = DAEMON_DEFAULT_ROOT, .run = DAEMON_DEFAULT_RUN};
	opterr = 1;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case OPT_ROOT:
			a->root = absolute(argv[0], optarg);
			break;
		case OPT_RUN:
			a->run = absolute(argv[0], optarg);
			break;
		case OPT_CONFIG:
			a->config = absolute(argv[0], optarg);
			break;
		case OPT_LEVEL:
			add_set(a, xasprintf("log.level=%s", optarg));
			break;
		case OPT_SET:
			add_set(a, optarg);
			break;
		case OPT_VERSION:
			printf("%s %s (commit %s)\n", name, pouch_version, pouch_commit);
			exit(0);
		case 'h':
		case OPT_HELP:
			printf(usage_text, argv[0], name, owns,
			       str_eq(name, "pouchd") ? "pouchd ctl asks and steers a running one: pouchd ctl --help"
						      : "It is started by pouchd(8) or by its systemd unit.");
			exit(0);
		default:
			exit(2);
		}
	}
	if (optind < argc)
		wrong_usage(argv[0], "there are no arguments but options");
}

static unsigned number_in(const char *text)
{
	char *end = NULL;
	unsigned long v = text && *text ? strtoul(text, &end, 10) : 0;

	return end && *end == '\0' && v <= INT32_MAX ? (unsigned)v : 0;
}

unsigned daemon_passed_count(void)
{
	return number_in(getenv("LISTEN_PID")) == (unsigned)getpid() ? number_in(getenv("LISTEN_FDS")) : 0;
}

int daemon_passed(struct daemon_fd *fds, size_t max, size_t *n, struct err *e)
{
	unsigned count = daemon_passed_count();
	const char *names = getenv("LISTEN_FDNAMES");
	struct stat st;

	*n = 0;
	if (count > max)
		return err_set(e, -E2BIG, "LISTEN_FDS is %u; at most %zu descriptors are expected", count, max);
	for (unsigned i = 0; i < count; i++) {
		size_t len = names ? strcspn(names, ":") : 0;
		fds[i].fd = FIRST_FD + (int)i;
		snprintf(fds[i].name, sizeof fds[i].name, "%.*s", (int)len, names ? names : "");
		if (names)
			names += names[len] ? len + 1 : len;
		if (fstat(fds[i].fd, &st) < 0)
			return err_sys(e, -errno, "descriptor %d of LISTEN_FDS", fds[i].fd);
	}
	*n = count;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return 0;
}
