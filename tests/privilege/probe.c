/*
 * probe tries NAME ROOT RUN IDS_BASE   enter NAME's sandbox and try everything, one child a try
 * probe act NAME ROOT RUN IDS_BASE     as apid: ask the running helpers for every operation
 * probe noise NAME ROOT RUN IDS_BASE   send nonsense to every helper that NAME reaches
 */
#include "tests/privilege/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/config.h"
#include "lib/sandbox/calls.h"
#include "lib/sandbox/profile.h"
#include "lib/sandbox/sandbox.h"
#include "lib/util.h"
#include "runtimed/shim/shim.h"

#define NOT_ENTERED 250 /* no errno */

static char victim_memory[1];

static void fatal(const char *what)
{
	fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* Things outside that a sandbox must keep out of reach; they live as long as the probe. */
static void make_outside(struct outside *o)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	socklen_t len = sizeof in;
	int tcp = socket(AF_INET, SOCK_STREAM, 0), abstract = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	int stream = socket(AF_UNIX, SOCK_STREAM, 0);

	if (bind(tcp, (const struct sockaddr *)&in, sizeof in) < 0 || listen(tcp, 64) < 0 ||
	    getsockname(tcp, (struct sockaddr *)&in, &len) < 0)
		fatal("tcp");
	o->tcp_port = ntohs(in.sin_port);
	int n = snprintf(o->abstract, sizeof o->abstract, "pouch-probe-%d", (int)getpid());
	memcpy(sun.sun_path + 1, o->abstract, (size_t)n);
	if (bind(abstract, (const struct sockaddr *)&sun,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) < 0 ||
	    listen(abstract, 64) < 0)
		fatal("abstract socket");
	snprintf(o->stream, sizeof o->stream, "/tmp/pouch-probe-%d.sock", (int)getpid());
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", o->stream);
	if (bind(stream, (const struct sockaddr *)&sun, sizeof sun) < 0 || listen(stream, 64) < 0)
		fatal("stream socket");
	o->victim = getpid();
	o->victim_memory = victim_memory;
}

/* As runtimed/shim does once its container runs. */
static void enter_shim(uid_t uid)
{
	struct err e = {0};
	int filter = calls_program(sandbox_profile(PROC_shim)->second.calls, &e);

	if (filter < 0) {
		fprintf(stderr, "probe: %s\n", e.text);
		_exit(NOT_ENTERED);
	}
	privileges_drop(uid, filter, NULL, 0);
}

static void enter(const struct outside *o, const struct config *config)
{
	struct sandbox_args args = {.config = config, .root = o->root, .run = o->run, .root_fd = -1};
	struct sandbox_report report;
	char path[200];
	struct err e = {0};

	if (o->self == PROC_shim) {
		enter_shim(config->ids_base);
		return;
	}
	if (sandbox_begin(0, &e) < 0)
		goto failed;
	args.proc_fd = sandbox_proc_open(o->self, &e);
	if (sandbox_profile(o->self)->state) {
		snprintf(path, sizeof path, "%s/%s", o->root, process_name(o->self));
		args.root_fd = open(path, O_DIRECTORY | O_CLOEXEC);
	}
	if (sandbox_enter(o->self, &args, &report, &e) == 0)
		return;
failed:
	fprintf(stderr, "probe: %s\n", e.text);
	_exit(NOT_ENTERED);
}

/* The child's exit status carries the errno. */
static void print_outcome(const char *name, int status, bool first)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	const char *error = code ? strerrorname_np(code) : NULL;

	printf("%s\"%s\": \"%s\"", first ? "" : ", ", name,
	       WIFSIGNALED(status) ? WTERMSIG(status) == SIGSYS ? "killed" : strsignal(WTERMSIG(status))
	       : code == 0 ? "works"
	       : error		   ? error
				   : "?");
}

static bool run_tries(const struct try *t, const struct outside *o, const struct config *config, bool first)
{
	for (; t->name; t++, first = false) {
		int status;
		pid_t pid;

		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			enter(o, config);
			_exit(-t->fn(o));
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			fatal("fork");
		if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_ENTERED)
			exit(3);
		print_outcome(t->name, status, first);
	}
	return first;
}

int main(int argc, char **argv)
{
	struct outside o = {0};
	struct config config = {.volumes_plugin_dir = ""};
	int r = 0;

	if (argc != 6 || (o.self = process_by_name(argv[2])) == PROC_NONE ||
	    (sandbox_profile(o.self)->keeps && o.self != PROC_shim)) {
		fprintf(stderr, "usage: probe tries|act|noise NAME ROOT RUN IDS_BASE\n");
		return 2;
	}
	o.root = argv[3];
	o.run = argv[4];
	config.ids_base = (uint32_t)strtoul(argv[5], NULL, 10);
	/* What works in spite of all changes nothing outside. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		fatal("mount namespace");
	if (strcmp(argv[1], "tries") == 0) {
		make_outside(&o);
		printf("{");
		run_tries(tries_calls, &o, &config, run_tries(tries, &o, &config, true));
		printf("}\n");
		unlink(o.stream);
	} else if (strcmp(argv[1], "act") == 0) {
		enter(&o, &config);
		r = act_all(&o);
	} else {
		enter(&o, &config);
		r = noise_all(&o);
	}
	fflush(stdout);
	_exit(r);
}
