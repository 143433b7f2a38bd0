/* `pouchd ctl`: what an admin asks a running engine, as root. Each word is a row of `commands`. */
#include "pouchd/ctl.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "ipc/channel.h"
#include "ipc/client.h"
#include "lib/daemon.h"
#include "lib/util.h"
#include "pouchd/supervisor.h"

#define ANSWER_MS 60000

static const struct ctl_command *const commands[] = {
	&ctl_status, &ctl_restart, &ctl_reload, &ctl_info, &ctl_audit, &ctl_policy, &ctl_image,
};

static int call(const struct ctl *c, enum process_id peer, uint16_t number, void *msg, uint32_t wait_ms, void **reply,
		struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/ipc/%s.sock", c->run, process_name(peer));
	int r = ipc_call_sync(PROC_pouchd, path, number, msg, wait_ms, reply, e);

	if (e->status == 0 && (r == -ENOENT || r == -ECONNREFUSED)) /* said by the kernel, not by the engine */
		return err_set(e, r, "no engine runs with --run %s", c->run);
	return r;
}

int ctl_call(const struct ctl *c, enum process_id peer, uint16_t number, void *msg, void **reply, struct err *e)
{
	return call(c, peer, number, msg, ANSWER_MS, reply, e);
}

int ctl_call_long(const struct ctl *c, enum process_id peer, uint16_t number, void *msg, void **reply, struct err *e)
{
	return call(c, peer, number, msg, 0, reply, e);
}

int ctl_fail(const struct err *e)
{
	fprintf(stderr, "pouchd ctl: %s\n", e->text);
	return 1;
}

int ctl_wrong(const struct ctl_command *command)
{
	fprintf(stderr, "usage: pouchd ctl %s%s%s\n", command->name, *command->usage ? " " : "", command->usage);
	return 2;
}

static void usage(FILE *to)
{
	fputs("usage: pouchd ctl [--run DIR] [--root DIR] [--config FILE] COMMAND\n\n", to);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(to, "  %s %s\n      %s\n", commands[i]->name, commands[i]->usage, commands[i]->about);
	fputs("\nDIR is what the engine was started with: --run is " DAEMON_DEFAULT_RUN
	      " unless given; --root and --config\n"
	      "are asked of the engine that runs there, else " DAEMON_DEFAULT_ROOT " and the default file.\n",
	      to);
}

static int help(const struct ctl_command *command)
{
	printf("pouchd ctl %s %s\n    %s\n", command->name, command->usage, command->about);
	return 0;
}

int ctl_main(int argc, char **argv)
{
	static const struct option options[] = {{"run", required_argument, NULL, 'r'},
						{"root", required_argument, NULL, 'R'},
						{"config", required_argument, NULL, 'c'},
						{"help", no_argument, NULL, 'h'},
						{NULL, 0, NULL, 0}};
	/* What it finds out stays until the end. */
	static struct ctl c = {
		.run = DAEMON_DEFAULT_RUN,
	};
	int o;

	argv[0] = (char[]){"pouchd ctl"}; /* getopt says it */
	while ((o = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		switch (o) {
		case 'r':
			c.run = optarg;
			break;
		case 'R':
			c.root = optarg;
			break;
		case 'c':
			c.config = optarg;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	for (size_t i = 0; optind < argc && i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i]->name, argv[optind]) != 0)
			continue;
		for (int k = optind + 1; k < argc; k++)
			if (str_eq(argv[k], "--help") || str_eq(argv[k], "-h"))
				return help(commands[i]);
		if (commands[i]->places)
			ctl_places(&c);
		return commands[i]->run(&c, argc - optind - 1, argv + optind + 1);
	}
	if (optind < argc)
		fprintf(stderr, "pouchd ctl: there is no command %s\n", argv[optind]);
	usage(stderr);
	return 2;
}
