/* splunk: the HTTP Event Collector: events as JSON, many in a request. */
#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "lib/times.h"
#include "lib/util.h"
#include "runtimed/log/log.h"

#define PATH "/services/collector/event/1.0"

static int prepare(struct sink *k, struct err *e)
{
	const json_t *o = k->setup->options;
	const char *url = logopt_text(o, "splunk-url");
	unsigned char r[16];

	k->how.tls = str_starts(url, "https:");
	k->how.insecure = logopt_bool(o, "splunk-insecureskipverify");
	k->how.ca = logopt_text(o, "splunk-capath");
	k->how.name = logopt_text(o, "splunk-caname");
	k->check_at_start = logopt_bool(o, "splunk-verify-connection");
	if (RAND_bytes(r, sizeof r) != 1)
		return err_set(e, -EIO, "splunk: no random numbers");
	snprintf(k->channel, sizeof k->channel, "%02x%02x%02x%02x-%02x%02x-4%1x%02x-a%1x%02x-%02x%02x%02x%02x%02x%02x",
		 r[0], r[1], r[2], r[3], r[4], r[5], r[6] & 15, r[7], r[8] & 15, r[9], r[10], r[11], r[12], r[13],
		 r[14], r[15]);
	return log_address_parse(url, k->how.tls ? "443" : "80", &k->how.address, e);
}

/* The head in a text of the caller's. */
static char *request_head(const struct sink *k, const char *method, size_t length, bool gzip)
{
	const json_t *o = k->setup->options;
	const struct log_address *a = &k->how.address;
	bool channel = logopt_bool(o, "splunk-index-acknowledgment"), v6 = strchr(a->host, ':');

	return xasprintf("%s " PATH " HTTP/1.1\r\nHost: %s%s%s:%s\r\nAuthorization: Splunk %s\r\n%s%s%s%s"
			 "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
			 method, v6 ? "[" : "", a->host, v6 ? "]" : "", a->port, logopt_text(o, "splunk-token"),
			 channel ? "X-Splunk-Request-Channel: " : "", channel ? k->channel : "", channel ? "\r\n" : "",
			 gzip ? "Content-Encoding: gzip\r\n" : "", length);
}

static int request(struct sink *k, const char *method, const void *body, size_t length, bool gzip, struct err *e)
{
	AUTO_FREE char *head = request_head(k, method, length, gzip);
	char text[256] = "";
	int status = 0;

	int r = stream_write(&k->stream, &k->how, head, strlen(head), e);
	if (r == 0)
		r = stream_write(&k->stream, &k->how, body, length, e);
	if (r == 0)
		r = http_answer(k, &status, text, sizeof text, e);
	if (r == 0 && status != 200)
		r = err_set(e, -EPROTO, "splunk: failed to send event - %d - %.100s", status, text);
	return r;
}

static int open_(struct sink *k, struct err *e)
{
	int r = stream_open(&k->stream, &k->how, e);

	if (r < 0 || k->verified || !logopt_bool(k->setup->options, "splunk-verify-connection"))
		return r;
	/* Once, before the container runs. */
	r = request(k, "OPTIONS", "", 0, false, e);
	k->verified = r == 0;
	return r == 0 && !stream_is_open(&k->stream) ? stream_open(&k->stream, &k->how, e) : r;
}

/* ---- events ---- */

static json_t *raw_event(const struct setup *s, const struct line *line)
{
	AUTO_FREE char *before = xstrdup(s->tag);
	json_t *text = line_json(line), *value;
	const char *name;

	json_object_foreach((json_t *)(uintptr_t)s->attributes, name, value) {
		AUTO_FREE char *old = before;
		before = xasprintf("%s%s%s=%s", old, *old ? " " : "", name, json_string_value(value));
	}
	AUTO_FREE char *whole = xasprintf("%s%s%s", before, *before ? " " : "", json_string_value(text));
	json_decref(text);
	return json_string(whole);
}

static json_t *event_of(const struct setup *s, const struct line *line)
{
	const char *format = logopt_text(s->options, "splunk-format");

	if (str_eq(format, "raw"))
		return raw_event(s, line);
	json_t *text = NULL, *o = json_object();
	if (str_eq(format, "json"))
		text = json_loadb(line->text, line->len, JSON_DECODE_ANY, NULL);
	json_object_set_new(o, "line", text ? text : line_json(line));
	json_object_set_new(o, "source", json_string(line->is_err ? "stderr" : "stdout"));
	if (*s->tag)
		json_object_set_new(o, "tag", json_string(s->tag));
	if (json_object_size(s->attributes))
		json_object_set(o, "attrs", (json_t *)(uintptr_t)s->attributes);
	return o;
}

static int send_(struct sink *k, const struct line *line, struct err *e)
{
	static const struct {
		const char *member, *option;
	} texts[] = {{"source", "splunk-source"}, {"sourcetype", "splunk-sourcetype"}, {"index", "splunk-index"}};
	const struct setup *s = k->setup;
	json_t *o = json_object();
	char time[32];

	(void)e;
	/* As Docker's driver: what is nothing but white space is no event. */
	if (str_eq(logopt_text(s->options, "splunk-format"), "raw") && strspn(line->text, " \t\r") == line->len)
		return json_decref(o), 0;
	snprintf(time, sizeof time, "%lld.%06lld", (long long)(line->time / NS_PER_SEC),
		 (long long)(line->time % NS_PER_SEC / 1000));
	json_object_set_new(o, "event", event_of(s, line));
	json_object_set_new(o, "time", json_string(time));
	json_object_set_new(o, "host", json_string(s->hostname));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (logopt_text(s->options, texts[i].option))
			json_object_set_new(o, texts[i].member, json_string(logopt_text(s->options, texts[i].option)));
	AUTO_FREE char *text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	sink_text(k, text);
	return 0;
}

static int send_compressed(struct sink *k, int level, struct err *e)
{
	z_stream z = {0};

	if (deflateInit2(&z, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return err_set(e, -ENOMEM, "splunk: compress");
	size_t room = deflateBound(&z, k->have) + 32;
	AUTO_FREE char *out = xcalloc(room, 1);
	z.next_in = (Bytef *)k->buffer;
	z.avail_in = (uInt)k->have;
	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)room;
	int done = deflate(&z, Z_FINISH);
	size_t n = z.total_out;
	deflateEnd(&z);
	return done == Z_STREAM_END ? request(k, "POST", out, n, true, e) : err_set(e, -EIO, "splunk: compress");
}

static int flush(struct sink *k, struct err *e)
{
	const json_t *o = k->setup->options;

	if (!k->have)
		return 0;
	if (logopt_bool(o, "splunk-gzip"))
		return send_compressed(k, (int)logopt_number(o, "splunk-gzip-level"), e);
	return request(k, "POST", k->buffer, k->have, false, e);
}

const struct driver driver_splunk = {
	.prepare = prepare, .connect = open_, .send = send_, .flush = flush, .batch = 1000};
