/* docs/logging.md: log drivers and their options. */
#include <stdio.h>
#include <string.h>

#include "lib/logopt.h"
#include "tools/gen-docs/gen.h"

static const char *const drivers[LOG_DRIVERS] = {
	[LOG_DRIVER_json_file] = "A file of one JSON object a line, as Docker's. The default.",
	[LOG_DRIVER_local] = "The same file, with other defaults.",
	[LOG_DRIVER_none] = "Nothing is kept.",
	[LOG_DRIVER_syslog] = "RFC 3164 or 5424 over UDP, TCP, TLS (RFC 5425) or a UNIX socket.",
	[LOG_DRIVER_journald] = "systemd's journal, by its native protocol.",
	[LOG_DRIVER_gelf] = "Graylog's GELF 1.1 over UDP, compressed and in chunks, or TCP.",
	[LOG_DRIVER_fluentd] = "The forward protocol of fluentd and Fluent Bit over TCP, TLS or a UNIX socket.",
	[LOG_DRIVER_splunk] = "Splunk's HTTP Event Collector.",
};

static const char *const kinds[] = {
	[LOGOPT_TEXT] = "text",
	[LOGOPT_SECRET] = "text",
	[LOGOPT_BOOL] = "true, false",
	[LOGOPT_COUNT] = "number",
	[LOGOPT_LEVEL] = "-1 to 9",
	[LOGOPT_SIZE] = "size, as 10m",
	[LOGOPT_DURATION] = "time, as 500ms",
	[LOGOPT_LIST] = "names, by commas",
	[LOGOPT_REGEX] = "regular expression",
	[LOGOPT_TEMPLATE] = "template",
	[LOGOPT_FILE] = "path",
};

static void of_driver(uint32_t bit)
{
	size_t n;
	const struct logopt_row *rows = logopt_rows(&n);

	printf("| option | value | default | |\n|---|---|---|---|\n");
	for (size_t i = 0; i < n; i++) {
		const struct logopt_row *r = &rows[i];
		if (!(r->drivers & bit))
			continue;
		printf("| `%s` | ", r->name);
		gen_cell(r->kind == LOGOPT_CHOICE || r->kind == LOGOPT_ADDRESS ? r->words : kinds[r->kind]);
		printf(" | %s%s%s | ", r->def ? "`" : "", r->def ? r->def : "", r->def ? "`" : "");
		gen_cell(r->doc);
		printf(" |\n");
	}
}

void gen_logging(void)
{
	printf("# Log drivers\n\n"
	       "<!-- Made from lib/logopt.def by \"make docs\"; do not edit. -->\n\n"
	       "`HostConfig.LogConfig`, `docker run --log-driver --log-opt`. An option that a driver does not have is "
	       "refused by\n"
	       "name at create. `awslogs`, `etwlogs` and `gcplogs` are not part of the engine.\n\n"
	       "A network driver's lines are carried by a process of their own for each container (`runtimed/log`), "
	       "which may\n"
	       "connect and read what is needed for it, and nothing else: certificates below `/etc/ssl`, `/etc/pki` "
	       "and the setting\n"
	       "`log-driver.files`, UNIX sockets of `log-driver.sockets`. Which drivers a role may use is the rule "
	       "`log-drivers` of\n"
	       "policy.json(5). Beside each of them a local file is kept, so that `docker logs` works.\n\n"
	       "A container whose collector cannot be reached is not started (UDP and `fluentd-async` excepted). Later "
	       "the\n"
	       "connection is made again with growing pauses. With `mode=blocking` the container waits when the queue "
	       "is full and\n"
	       "nothing is lost but what a collector has taken without acknowledging it; with `mode=non-blocking` "
	       "lines are\n"
	       "dropped then, and the engine's log says how many. When the container has ended, what is left is "
	       "delivered within\n"
	       "30 s or dropped. Containers, logs and their workers go on while the engine is restarted.\n\n"
	       "With `mode=non-blocking` the drivers that write a file do it in a process of its own, so that a disk "
	       "that hangs\n"
	       "does not keep the container waiting: up to `max-buffer-size` of lines wait for it.\n");
	for (enum log_driver d = 0; d < LOG_DRIVERS; d++) {
		printf("\n## %s\n\n%s\n", log_driver_name(d), drivers[d]);
		if (d != LOG_DRIVER_none) {
			printf("\n");
			of_driver(1u << d);
		}
	}
}
