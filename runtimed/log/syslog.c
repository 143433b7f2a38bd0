/* syslog: RFC 3164, RFC 5424, and the form of syslog(3). Over TLS each message has its length before it (RFC 5425). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "lib/times.h"
#include "lib/util.h"
#include "runtimed/log/log.h"

static int facility_of(const char *text)
{
	static const char *const names[] = {"kern",   "user",	"mail",	  "daemon", "auth",	"syslog",
					    "lpr",    "news",	"uucp",	  "cron",   "authpriv", "ftp",
					    "12",     "13",	"14",	  "15",	    "local0",	"local1",
					    "local2", "local3", "local4", "local5", "local6",	"local7"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(names[i], text))
			return (int)i;
	return atoi(text);
}

static int prepare(struct sink *k, struct err *e)
{
	const json_t *o = k->setup->options;
	const char *address = logopt_text(o, "syslog-address");
	bool tls = str_starts(address, "tcp+tls:");

	k->how.tls = tls;
	k->how.insecure = logopt_bool(o, "syslog-tls-skip-verify");
	k->how.ca = logopt_text(o, "syslog-tls-ca-cert");
	k->how.cert = logopt_text(o, "syslog-tls-cert");
	k->how.key = logopt_text(o, "syslog-tls-key");
	return log_address_parse(address, tls ? "6514" : "514", &k->how.address, e);
}

static int open_(struct sink *k, struct err *e)
{
	return stream_open(&k->stream, &k->how, e);
}

static void when(const char *format, const struct line *line, char out[TIME_TEXT])
{
	time_t second = (time_t)(line->time / NS_PER_SEC);
	struct tm tm;

	localtime_r(&second, &tm);
	strftime(out, TIME_TEXT, format, &tm);
}

/* "2024-05-01T10:00:00.123456+00:00" */
static void when_rfc5424(const struct line *line, bool micro, char out[TIME_TEXT])
{
	char zone[TIME_TEXT], fraction[16] = "";

	when("%Y-%m-%dT%H:%M:%S", line, out);
	when("%z", line, zone);
	if (micro)
		snprintf(fraction, sizeof fraction, ".%06lld", (long long)(line->time % NS_PER_SEC / 1000));
	size_t n = strlen(out);
	snprintf(out + n, TIME_TEXT - n, "%s%.3s:%.2s", fraction, zone, zone + 3);
}

static char *message(const struct sink *k, const struct line *line)
{
	const struct setup *s = k->setup;
	const char *format = logopt_text(s->options, "syslog-format");
	int priority =
		facility_of(logopt_text(s->options, "syslog-facility")) << 3 | (line->is_err ? LOG_ERR : LOG_INFO);
	char time[TIME_TEXT];

	if (!format) {
		when("%b %e %H:%M:%S", line, time);
		return xasprintf("<%d>%s %s[%d]: ", priority, time, s->tag, (int)getpid());
	}
	if (str_eq(format, "rfc3164")) {
		when("%b %e %H:%M:%S", line, time);
		return xasprintf("<%d>%s %s %s[%d]: ", priority, time, s->hostname, s->tag, (int)getpid());
	}
	when_rfc5424(line, str_eq(format, "rfc5424micro"), time);
	return xasprintf("<%d>1 %s %s %s %d %s - ", priority, time, s->hostname, s->tag, (int)getpid(), s->tag);
}

static int send_(struct sink *k, const struct line *line, struct err *e)
{
	AUTO_FREE char *head = message(k, line);
	bool stream =
		k->how.tls || !(str_eq(k->how.address.scheme, "udp") || str_eq(k->how.address.scheme, "unixgram"));
	char length[24];

	k->have = 0;
	if (k->how.tls) {
		snprintf(length, sizeof length, "%zu ", strlen(head) + line->len);
		sink_text(k, length);
	}
	sink_text(k, head);
	sink_put(k, line->text, line->len);
	if (stream && !k->how.tls)
		sink_put(k, "\n", 1);
	return stream_write(&k->stream, &k->how, k->buffer, k->have, e);
}

const struct driver driver_syslog = {.prepare = prepare, .connect = open_, .send = send_, .batch = 1};
