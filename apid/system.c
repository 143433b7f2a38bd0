/* The operations that apid answers itself. */
#include <jansson.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <time.h>

#include "apid/exchange.h"
#include "apid/gather.h"
#include "apid/host.h"
#include "lib/util.h"
#include "lib/version.h"

/* GET|HEAD /_ping */
static void ping(struct exchange *x)
{
	static const char headers[] = "Builder-Version: 1\r\nSwarm: inactive\r\nCache-Control: no-cache, no-store, "
				      "must-revalidate\r\nPragma: no-cache\r\n";

	answer_text(x, 200, "text/plain; charset=utf-8", headers, "OK", 2);
}

static char *version_text(void)
{
	struct utsname u;
	char built[64], api[16], min[16];
	time_t t = pouch_build_time;
	struct tm tm;

	uname(&u);
	const char *arch = host_architecture(u.machine);
	strftime(built, sizeof built, "%Y-%m-%dT%H:%M:%S.000000000+00:00", gmtime_r(&t, &tm));
	snprintf(api, sizeof api, "1.%d", API_VERSION_LAST);
	snprintf(min, sizeof min, "1.%d", API_VERSION_FIRST);
	json_t *details = json_pack("{s:s s:s s:s s:s s:s s:s s:s s:s}", "ApiVersion", api, "Arch", arch, "BuildTime",
				    built, "Experimental", "false", "GitCommit", pouch_commit, "KernelVersion",
				    u.release, "MinAPIVersion", min, "Os", "linux");
	json_t *o = json_pack("{s:{s:s} s:[{s:s s:s s:o}] s:s s:s s:s s:s s:s s:s s:s s:s s:b s:s}", "Platform", "Name",
			      "Pouch", "Components", "Name", "Engine", "Version", pouch_version, "Details", details,
			      "Version", pouch_version, "ApiVersion", api, "MinAPIVersion", min, "GitCommit",
			      pouch_commit, "GoVersion", "", "Os", "linux", "Arch", arch, "KernelVersion", u.release,
			      "Experimental", 0, "BuildTime", built);
	char *text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

/* GET /version: nothing in it changes while the process lives. */
static void version(struct exchange *x)
{
	static char *text;

	if (!text)
		text = version_text();
	answer_text(x, 200, NULL, NULL, text, strlen(text));
}

static const struct {
	uint16_t number;
	void (*answer)(struct exchange *x);
} rows[] = {
	{IPC_system_ping, ping},    {IPC_system_version, version},	  {IPC_system_info, gather_info},
	{IPC_system_df, gather_df}, {IPC_system_metrics, gather_metrics},
};

void system_answer(struct exchange *x)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].number == x->route->message->number) {
			rows[i].answer(x);
			return;
		}
	struct err e;
	err_http(&e, 501, "not implemented: %s", x->route->message->name);
	answer_error(x, &e);
}
