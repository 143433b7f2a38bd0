/* pouchd ctl status, restart, reload, info. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "ipc/channel.h"
#include "lib/daemon.h"
#include "lib/util.h"
#include "pouchd/ctl.h"

static int ask_state(const struct ctl *c, json_t **out, struct err *e)
{
	struct supervisor_status ask = {.memory = true};
	void *reply = NULL;
	int r = ctl_call(c, PROC_pouchd, IPC_supervisor_status, &ask, &reply, e);

	if (r < 0)
		return r;
	*out = json_incref(((struct supervisor_state *)reply)->state.json);
	channel_msg_free(ipc_message(IPC_supervisor_state), reply);
	return 0;
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && *s ? s : "-";
}

void ctl_places(struct ctl *c)
{
	json_t *state = NULL;
	struct err ignored;

	if (!c->root && ask_state(c, &state, &ignored) == 0) {
		const char *root = text(state, "Root"), *config = text(state, "Config");
		if (*root == '/')
			c->root = xstrdup(root);
		if (!c->config && *config == '/')
			c->config = xstrdup(config);
		json_decref(state);
	}
	if (!c->root)
		c->root = DAEMON_DEFAULT_ROOT;
}

static json_int_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void print_exit(const json_t *service, char *buf, size_t size)
{
	const json_t *last = json_object_get(service, "LastExit");

	if (json_object_get(last, "Signal"))
		snprintf(buf, size, "signal %d (%s)", (int)number(last, "Signal"),
			 strsignal((int)number(last, "Signal")));
	else if (json_is_object(last))
		snprintf(buf, size, "status %d", (int)number(last, "Status"));
	else
		snprintf(buf, size, "-");
}

static void print_uptime(json_int_t ms, char *buf, size_t size)
{
	json_int_t s = ms / 1000;

	if (s >= 86400)
		snprintf(buf, size, "%" JSON_INTEGER_FORMAT "d%02dh", s / 86400, (int)(s % 86400 / 3600));
	else if (s >= 3600)
		snprintf(buf, size, "%dh%02dm", (int)(s / 3600), (int)(s % 3600 / 60));
	else
		snprintf(buf, size, "%dm%02ds", (int)(s / 60), (int)(s % 60));
}

static void print_line(const json_t *o, const char *name, const char *state)
{
	char up[32], last[64];

	print_uptime(number(o, "UptimeMs"), up, sizeof up);
	print_exit(o, last, sizeof last);
	printf("%-14s %-9s %8d %9s %8d %7.1f MiB  %s\n", name, state, (int)number(o, "Pid"), up,
	       (int)number(o, "Restarts"), (double)number(o, "Pss") / 1048576, last);
}

static int run_status(const struct ctl *c, int argc, char **argv)
{
	json_t *state = NULL, *o;
	json_int_t total;
	struct err e;
	size_t i;

	if (argc > 1 || (argc == 1 && strcmp(argv[0], "--json") != 0))
		return ctl_wrong(&ctl_status);
	if (ask_state(c, &state, &e) < 0)
		return ctl_fail(&e);
	if (argc == 1) {
		json_dumpf(state, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(state);
		return 0;
	}
	total = number(state, "Pss");
	printf("%-14s %-9s %8s %9s %8s %11s  %s\n", "NAME", "STATE", "PID", "UPTIME", "RESTARTS", "MEMORY",
	       "LAST EXIT");
	print_line(state, "pouchd", text(state, "State"));
	json_array_foreach(json_object_get(state, "Services"), i, o) {
		print_line(o, text(o, "Name"), text(o, "State"));
		total += number(o, "Pss");
	}
	json_array_foreach(json_object_get(state, "Workers"), i, o) {
		total += number(o, "Pss");
		if (number(o, "Started"))
			printf("%-14s %" JSON_INTEGER_FORMAT " running, %" JSON_INTEGER_FORMAT
			       " started, %" JSON_INTEGER_FORMAT " failed, %.1f MiB\n",
			       text(o, "Name"), number(o, "Running"), number(o, "Started"), number(o, "Failed"),
			       (double)number(o, "Pss") / 1048576);
	}
	printf("%.1f MiB together\n", (double)total / 1048576);
	json_decref(state);
	return 0;
}

const struct ctl_command ctl_status = {
	.name = "status",
	.usage = "[--json]",
	.about = "the engine's processes: state, uptime, restarts, memory",
	.run = run_status,
};

static int run_info(const struct ctl *c, int argc, char **argv)
{
	static const char *const keys[] = {"Version", "Commit", "Root", "Run", "Config", "Policy", "Socket", "State"};
	json_t *state = NULL, *o;
	struct err e;
	size_t i;

	(void)argv;
	if (argc)
		return ctl_wrong(&ctl_info);
	if (ask_state(c, &state, &e) < 0)
		return ctl_fail(&e);
	for (size_t k = 0; k < ARRAY_LEN(keys); k++)
		printf("%-9s %s\n", keys[k], text(state, keys[k]));
	json_array_foreach(json_object_get(state, "Services"), i, o) {
		AUTO_FREE char *sandbox = json_dumps(json_object_get(o, "Sandbox"), JSON_COMPACT | JSON_ENCODE_ANY);
		printf("\n%s: %s\n  %s\n", text(o, "Name"), text(o, "Owns"), sandbox ? sandbox : "-");
	}
	json_decref(state);
	return 0;
}

const struct ctl_command ctl_info = {
	.name = "info",
	.usage = "",
	.about = "paths, version, and each service's sandbox",
	.run = run_info,
};

static int run_restart(const struct ctl *c, int argc, char **argv)
{
	struct supervisor_restart ask = {.name = argc == 1 ? argv[0] : NULL};
	void *reply = NULL;
	struct err e;

	if (argc != 1)
		return ctl_wrong(&ctl_restart);
	if (ctl_call(c, PROC_pouchd, IPC_supervisor_restart, &ask, &reply, &e) < 0)
		return ctl_fail(&e);
	channel_msg_free(ipc_message(IPC_done), reply);
	return 0;
}

const struct ctl_command ctl_restart = {
	.name = "restart",
	.usage = "SERVICE",
	.about = "end a service and start it anew; waits until it is ready",
	.run = run_restart,
};

static int run_reload(const struct ctl *c, int argc, char **argv)
{
	struct supervisor_reload ask = {};
	void *reply = NULL;
	struct err e;

	(void)argv;
	if (argc)
		return ctl_wrong(&ctl_reload);
	if (ctl_call(c, PROC_pouchd, IPC_supervisor_reload, &ask, &reply, &e) < 0)
		return ctl_fail(&e);
	channel_msg_free(ipc_message(IPC_done), reply);
	return 0;
}

const struct ctl_command ctl_reload = {
	.name = "reload",
	.usage = "",
	.about = "read pouch.json and policy.json again",
	.run = run_reload,
};
