/* fluentd: the forward protocol (Forward mode): [tag, [[time, record], …], {option}] in MessagePack. */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "lib/times.h"
#include "lib/util.h"
#include "runtimed/log/log.h"

#define ACK_MAX 1024

static int prepare(struct sink *k, struct err *e)
{
	const json_t *o = k->setup->options;
	int64_t write_ms = logopt_number(o, "fluentd-write-timeout"), retries = logopt_number(o, "fluentd-max-retries");
	int r = log_address_parse(logopt_text(o, "fluentd-address"), "24224", &k->how.address, e);

	k->how.tls = str_eq(k->how.address.scheme, "tls");
	k->wait_ms = (unsigned)logopt_number(o, "fluentd-retry-wait");
	k->max_attempts = retries >= UINT32_MAX ? 0 : (unsigned)retries + 1;
	k->check_at_start = !logopt_bool(o, "fluentd-async") && !logopt_bool(o, "fluentd-async-connect");
	if (write_ms)
		k->how.timeout_ms = (unsigned)write_ms;
	return r;
}

static int open_(struct sink *k, struct err *e)
{
	return stream_open(&k->stream, &k->how, e);
}

/* ---- MessagePack ---- */

static void put_number(struct sink *k, unsigned char type, uint64_t value, size_t bytes)
{
	unsigned char out[9] = {type};

	for (size_t i = 0; i < bytes; i++)
		out[1 + i] = (unsigned char)(value >> (8 * (bytes - 1 - i)));
	sink_put(k, out, 1 + bytes);
}

static void put_text(struct sink *k, const char *text, size_t len)
{
	if (len < 32)
		put_number(k, (unsigned char)(0xa0 | len), 0, 0);
	else if (len < 65536)
		put_number(k, 0xda, len, 2);
	else
		put_number(k, 0xdb, len, 4);
	sink_put(k, text, len);
}

static void put_pair(struct sink *k, const char *key, const char *value)
{
	put_text(k, key, strlen(key));
	put_text(k, value, strlen(value));
}

static void put_map(struct sink *k, size_t pairs)
{
	put_number(k, 0xde, pairs, 2);
}

/* EventTime: an extension of type 0, seconds and nanoseconds. */
static void put_time(struct sink *k, int64_t time)
{
	uint64_t second = (uint64_t)(time / NS_PER_SEC);

	if (!logopt_bool(k->setup->options, "fluentd-sub-second-precision")) {
		put_number(k, 0xcf, second, 8);
		return;
	}
	put_number(k, 0xd7, 0, 1);
	unsigned char both[8];
	uint64_t value = second << 32 | (uint64_t)(time % NS_PER_SEC);
	for (size_t i = 0; i < sizeof both; i++)
		both[i] = (unsigned char)(value >> (8 * (7 - i)));
	sink_put(k, both, sizeof both);
}

/* ---- messages ---- */

static void put_partial(struct sink *k, const struct line *line)
{
	char id[24], number[24];

	if (!k->partial_ordinal)
		k->partial_id = (uint64_t)line->time;
	snprintf(id, sizeof id, "%llx", (unsigned long long)k->partial_id);
	snprintf(number, sizeof number, "%llu", (unsigned long long)++k->partial_ordinal);
	put_pair(k, "partial_message", "true");
	put_pair(k, "partial_id", id);
	put_pair(k, "partial_ordinal", number);
	put_pair(k, "partial_last", line->partial ? "false" : "true");
	if (!line->partial)
		k->partial_ordinal = 0;
}

static int send_(struct sink *k, const struct line *line, struct err *e)
{
	const struct setup *s = k->setup;
	bool piece = line->partial || k->partial_ordinal;
	AUTO_FREE char *name_path = xasprintf("/%s", s->name);
	const char *name;
	json_t *value;

	(void)e;
	put_number(k, 0x92, 0, 0);
	put_time(k, line->time);
	put_map(k, 4 + json_object_size(s->attributes) + (piece ? 4 : 0));
	put_pair(k, "container_id", s->id);
	put_pair(k, "container_name", name_path);
	put_pair(k, "source", line->is_err ? "stderr" : "stdout");
	put_text(k, "log", 3);
	put_text(k, line->text, line->len);
	json_object_foreach((json_t *)(uintptr_t)s->attributes, name, value)
		put_pair(k, name, json_string_value(value));
	if (piece)
		put_partial(k, line);
	k->kept++;
	return 0;
}

/* {"ack": chunk} */
static int await_ack(struct sink *k, const char *chunk, size_t len, struct err *e)
{
	char answer[ACK_MAX];
	size_t have = 0;

	while (have < sizeof answer) {
		ssize_t n = stream_read(&k->stream, &k->how, answer + have, sizeof answer - have, e);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return err_set(e, -ECONNRESET, "fluentd: closed without acknowledging");
		have += (size_t)n;
		/* The map is over with the text, which is its last part. */
		if (have >= len && memcmp(answer + have - len, chunk, len) == 0)
			return 0;
	}
	return err_set(e, -EPROTO, "fluentd: what it answers is no acknowledgement");
}

static int flush(struct sink *k, struct err *e)
{
	bool ack = logopt_bool(k->setup->options, "fluentd-request-ack");
	int64_t renew = logopt_number(k->setup->options, "fluentd-async-reconnect-interval");
	unsigned char random[16];
	char chunk[32] = "";
	struct sink head = {0}; /* what stands before the lines */

	if (ack && RAND_bytes(random, sizeof random) != 1)
		return err_set(e, -EIO, "fluentd: no random numbers");
	int n = ack ? EVP_EncodeBlock((unsigned char *)chunk, random, sizeof random) : 0;
	put_number(&head, 0x93, 0, 0);
	put_text(&head, k->setup->tag, strlen(k->setup->tag));
	put_number(&head, 0xdd, k->kept, 4);
	put_map(k, ack);
	if (ack)
		put_pair(k, "chunk", chunk);
	int r = stream_write(&k->stream, &k->how, head.buffer, head.have, e);
	free(head.buffer);
	if (r == 0)
		r = stream_write(&k->stream, &k->how, k->buffer, k->have, e);
	if (r == 0 && ack)
		r = await_ack(k, chunk, (size_t)n, e);
	if (r == 0 && renew && monotonic_ns() - k->connected_at > renew * 1000000)
		stream_close(&k->stream);
	return r;
}

const struct driver driver_fluentd = {
	.prepare = prepare, .connect = open_, .send = send_, .flush = flush, .batch = 256};
