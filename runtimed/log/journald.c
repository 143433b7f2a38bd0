/* journald: the journal's native protocol (systemd, "Native Journal Protocol"): a datagram of fields a line. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "lib/times.h"
#include "lib/util.h"
#include "runtimed/log/log.h"

static int prepare(struct sink *k, struct err *e)
{
	AUTO_FREE char *address = xasprintf("unixgram://%s", k->setup->journal);

	return log_address_parse(address, "", &k->how.address, e);
}

static int open_(struct sink *k, struct err *e)
{
	return stream_open(&k->stream, &k->how, e);
}

/* A value with a newline in it has its length before it, in eight bytes, the lowest first. */
static void field(struct sink *k, const char *name, const char *value, size_t len)
{
	sink_text(k, name);
	if (memchr(value, '\n', len) == NULL) {
		sink_put(k, "=", 1);
	} else {
		unsigned char length[8];
		for (size_t i = 0; i < sizeof length; i++)
			length[i] = (unsigned char)((uint64_t)len >> (8 * i));
		sink_put(k, "\n", 1);
		sink_put(k, length, sizeof length);
	}
	sink_put(k, value, len);
	sink_put(k, "\n", 1);
}

static void text(struct sink *k, const char *name, const char *value)
{
	field(k, name, value, strlen(value));
}

/* Names have capital letters, digits and underscores, and begin with a letter: others would be dropped by the journal.
 */
static void attribute(struct sink *k, const char *name, const char *value)
{
	AUTO_FREE char *clean = xstrdup(name + strspn(name, "_"));

	for (char *p = clean; *p; p++)
		*p = isalnum((unsigned char)*p) ? (char)toupper((unsigned char)*p) : '_';
	if (isalpha((unsigned char)clean[0]))
		text(k, clean, value);
}

static void partial_fields(struct sink *k, const struct line *line)
{
	char number[24], id[24];

	if (!line->partial && !k->partial_ordinal)
		return;
	if (!k->partial_ordinal)
		k->partial_id = (uint64_t)line->time;
	snprintf(id, sizeof id, "%llx", (unsigned long long)k->partial_id);
	snprintf(number, sizeof number, "%llu", (unsigned long long)++k->partial_ordinal);
	if (line->partial)
		text(k, "CONTAINER_PARTIAL_MESSAGE", "true");
	text(k, "CONTAINER_PARTIAL_ID", id);
	text(k, "CONTAINER_PARTIAL_ORDINAL", number);
	text(k, "CONTAINER_PARTIAL_LAST", line->partial ? "false" : "true");
	if (!line->partial)
		k->partial_ordinal = 0;
}

static int send_(struct sink *k, const struct line *line, struct err *e)
{
	const struct setup *s = k->setup;
	char id[13], time[TIME_TEXT];
	const char *name;
	json_t *value;

	snprintf(id, sizeof id, "%.12s", s->id);
	k->have = 0;
	field(k, "MESSAGE", line->text, line->len);
	text(k, "PRIORITY", line->is_err ? "3" : "6");
	text(k, "CONTAINER_ID", id);
	text(k, "CONTAINER_ID_FULL", s->id);
	text(k, "CONTAINER_NAME", s->name);
	text(k, "CONTAINER_TAG", s->tag);
	text(k, "IMAGE_NAME", s->image);
	text(k, "SYSLOG_IDENTIFIER", s->tag);
	text(k, "SYSLOG_TIMESTAMP", time_rfc3339_full(line->time, time));
	json_object_foreach((json_t *)(uintptr_t)s->attributes, name, value)
		attribute(k, name, json_string_value(value));
	partial_fields(k, line);
	return stream_write(&k->stream, &k->how, k->buffer, k->have, e);
}

const struct driver driver_journald = {.prepare = prepare, .connect = open_, .send = send_, .batch = 1};
