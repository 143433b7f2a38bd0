/* gelf: Graylog's GELF 1.1: over UDP compressed and in chunks, over TCP ended by a NUL. */
#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <zlib.h>

#include "lib/times.h"
#include "lib/util.h"
#include "runtimed/log/log.h"

#define CHUNK	   1420 /* bytes of a datagram that goes through any network */
#define CHUNK_HEAD 12
#define CHUNKS_MAX 128

static int prepare(struct sink *k, struct err *e)
{
	const json_t *o = k->setup->options;
	int r = log_address_parse(logopt_text(o, "gelf-address"), "12201", &k->how.address, e);

	if (r == 0 && str_eq(k->how.address.scheme, "tcp")) {
		k->max_attempts = (unsigned)logopt_number(o, "gelf-tcp-max-reconnect") + 1;
		k->wait_ms = k->wait_max = (unsigned)logopt_number(o, "gelf-tcp-reconnect-delay") * 1000;
	}
	return r;
}

static int open_(struct sink *k, struct err *e)
{
	return stream_open(&k->stream, &k->how, e);
}

static char *message(const struct setup *s, const struct line *line)
{
	const char *name;
	json_t *value, *o = json_pack("{s:s, s:s, s:i, s:o}", "version", "1.1", "host", s->hostname, "level",
				      line->is_err ? LOG_ERR : LOG_INFO, "short_message", line_json(line));
	char created[TIME_TEXT];
	int64_t ms = line->time / 1000000;

	json_object_set_new(o, "timestamp", json_real((double)ms / 1000.0));
	json_object_set_new(o, "_container_id", json_string(s->id));
	json_object_set_new(o, "_container_name", json_string(s->name));
	json_object_set_new(o, "_image_id", json_string(s->image_id));
	json_object_set_new(o, "_image_name", json_string(s->image));
	json_object_set_new(o, "_command", json_string(s->command));
	json_object_set_new(o, "_tag", json_string(s->tag));
	json_object_set_new(o, "_created", json_string(time_rfc3339(s->created, created)));
	json_object_foreach((json_t *)(uintptr_t)s->attributes, name, value) {
		AUTO_FREE char *key = xasprintf("_%s", name);
		json_object_set(o, key, value);
	}
	char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(13));
	json_decref(o);
	return text;
}

/* Into the sink's buffer. */
static int compress_into(struct sink *k, const char *text, size_t len, struct err *e)
{
	const json_t *o = k->setup->options;
	const char *type = logopt_text(o, "gelf-compression-type");
	z_stream z = {0};

	k->have = 0;
	if (str_eq(type, "none")) {
		sink_put(k, text, len);
		return 0;
	}
	int bits = str_eq(type, "gzip") ? 15 + 16 : 15;
	if (deflateInit2(&z, (int)logopt_number(o, "gelf-compression-level"), Z_DEFLATED, bits, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return err_set(e, -ENOMEM, "gelf: compress");
	size_t room = deflateBound(&z, len) + 32;
	AUTO_FREE char *out = xcalloc(room, 1);
	z.next_in = (Bytef *)(uintptr_t)text;
	z.avail_in = (uInt)len;
	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)room;
	int done = deflate(&z, Z_FINISH);
	sink_put(k, out, z.total_out);
	deflateEnd(&z);
	return done == Z_STREAM_END ? 0 : err_set(e, -EIO, "gelf: compress");
}

static int send_chunks(struct sink *k, struct err *e)
{
	size_t part = CHUNK - CHUNK_HEAD, count = (k->have + part - 1) / part;
	unsigned char packet[CHUNK] = {0x1e, 0x0f};

	if (k->have <= CHUNK)
		return stream_write(&k->stream, &k->how, k->buffer, k->have, e);
	/* A line that no receiver would put together: it must not stop the others. */
	if (count > CHUNKS_MAX)
		return 0;
	if (RAND_bytes(packet + 2, 8) != 1)
		return err_set(e, -EIO, "gelf: no random numbers");
	for (size_t i = 0; i < count; i++) {
		size_t n = i + 1 < count ? part : k->have - i * part;
		packet[10] = (unsigned char)i;
		packet[11] = (unsigned char)count;
		memcpy(packet + CHUNK_HEAD, k->buffer + i * part, n);
		int r = stream_write(&k->stream, &k->how, packet, CHUNK_HEAD + n, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int send_(struct sink *k, const struct line *line, struct err *e)
{
	AUTO_FREE char *text = message(k->setup, line);

	if (str_eq(k->how.address.scheme, "tcp"))
		return stream_write(&k->stream, &k->how, text, strlen(text) + 1, e);
	int r = compress_into(k, text, strlen(text), e);
	return r < 0 ? r : send_chunks(k, e);
}

const struct driver driver_gelf = {.prepare = prepare, .connect = open_, .send = send_, .batch = 1};
