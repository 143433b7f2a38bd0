/* `pouchd ctl image`: is every blob and layer of the image store what its digest says? */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "ipc/channel.h"
#include "lib/util.h"
#include "pouchd/ctl.h"

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "-";
}

static int count(const json_t *o, const char *key)
{
	return (int)json_integer_value(json_object_get(o, key));
}

/* Returns how many stay damaged. */
static size_t print_report(const json_t *report, bool json)
{
	const json_t *list = json_object_get(report, "Damaged"), *one;
	size_t left = 0, i;

	json_array_foreach(list, i, one) {
		bool repaired = json_is_true(json_object_get(one, "Repaired"));
		left += !repaired;
		if (!json)
			printf("%s %s: %s%s\n", text(one, "Kind"), text(one, "Id"), text(one, "Problem"),
			       repaired ? " (repaired)" : "");
	}
	if (json) {
		json_dumpf(report, stdout, JSON_INDENT(2));
		putchar('\n');
		return left;
	}
	printf("%d blobs, %d layers, %d images: ", count(report, "Blobs"), count(report, "Layers"),
	       count(report, "Images"));
	if (json_array_size(list) == 0)
		puts("all whole");
	else
		printf("%zu damaged, %zu repaired\n", json_array_size(list), json_array_size(list) - left);
	return left;
}

static bool parse_options(int argc, char **argv, bool *repair, bool *json)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--repair") == 0)
			*repair = true;
		else if (strcmp(argv[i], "--json") == 0)
			*json = true;
		else
			return false;
	}
	return argc >= 1 && strcmp(argv[0], "check") == 0;
}

static int run(const struct ctl *c, int argc, char **argv)
{
	struct image_check ask = {.repair = false};
	bool json = false;
	void *reply = NULL;
	struct err e = {0};

	if (!parse_options(argc, argv, &ask.repair, &json))
		return ctl_wrong(&ctl_image);
	if (ctl_call_long(c, PROC_imaged, IPC_image_check, &ask, &reply, &e) < 0)
		return ctl_fail(&e);
	size_t left = print_report(((struct image_checked *)reply)->report.json, json);
	channel_msg_free(ipc_message(IPC_image_checked), reply);
	return left ? 3 : 0;
}

const struct ctl_command ctl_image = {
	.name = "image",
	.usage = "check [--repair] [--json]",
	.about = "is everything in the image store whole (exit status 3: something is not)",
	.run = run,
};
