/*
 * seed DIR: the first inputs of the fuzz targets, made from the tables: DIR/message, DIR/packet and DIR/schema get one
 * file for each message and document, bare and full, in the form that fuzz_message.c and the others read; DIR/config
 * and DIR/policy what holds without a file. DIR/X.dict has the words of a target's language.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ipc/channel.h"
#include "lib/config.h"
#include "lib/policy.h"
#include "tests/fuzz/sample.h"

static int write_file(const char *dir, const char *kind, const char *name, bool full, const void *bytes, size_t len)
{
	AUTO_FREE char *folder = xasprintf("%s/%s", dir, kind);
	AUTO_FREE char *path = xasprintf("%s/%s.%s", folder, name, full ? "full" : "bare");
	struct err e = {0};

	if (mkdir(folder, 0777) < 0 && errno != EEXIST)
		return -errno;
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	return fd < 0 ? -errno : fd_write_all(fd, bytes, len, &e);
}

static int seed_message(const char *dir, const struct ipc_message *m, bool full)
{
	static unsigned char bytes[IPC_MESSAGE_MAX];
	struct ipc_packet p = {.bytes = bytes, .len = 2};
	struct err e = {0};
	struct sample s;

	bytes[0] = (unsigned char)m->number;
	bytes[1] = (unsigned char)(m->number >> 8);
	sample_message(m, full, &s);
	int r = ipc_encode(m, s.msg, &p, &e);
	if (r == 0)
		r = write_file(dir, "message", m->name, full, bytes, p.len);
	ipc_packet_clean(&p);
	sample_clean(m, &s);
	return r;
}

/* As fuzz_packet.c reads it. */
static int seed_packet(const char *dir, const struct ipc_message *m, bool full)
{
	static unsigned char input[IPC_MESSAGE_MAX + 64], bytes[IPC_MESSAGE_MAX];
	const struct ipc_head head = {.message = m, .kind = m->reply ? K_REQUEST : K_END, .id = 1};
	struct ipc_packet p = {.bytes = bytes};
	struct err e = {0};
	struct sample s;
	size_t n = 3;

	sample_message(m, full, &s);
	int r = channel_encode(&head, s.msg, &p, &e);
	for (size_t i = 0; i < m->nfields; i++)
		if (m->fields[i].type == T_FD && (full || m->fields[i].need == REQUIRED))
			input[n++] = (unsigned char)m->fields[i].rule;
	input[0] = (unsigned char)p.len;
	input[1] = (unsigned char)(p.len >> 8);
	input[2] = (unsigned char)(n - 3);
	memcpy(input + n, bytes, p.len);
	if (r == 0)
		r = write_file(dir, "packet", m->name, full, input, n + p.len);
	ipc_packet_clean(&p);
	sample_clean(m, &s);
	return r;
}

static int seed_schema(const char *dir, enum schema_id id, bool full)
{
	json_t *doc = sample_document(id, full);
	AUTO_FREE char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	AUTO_FREE char *input = xasprintf("%c%c%s", (char)('A' + (int)id), '~', text ? text : "");

	json_decref(doc);
	return write_file(dir, "schema", schema_name(id), full, input, strlen(input));
}

static int seed_files(const char *dir)
{
	struct config_source source = {.root = "/var/lib/pouch", .run = "/run/pouch"};
	struct config *config = NULL;
	AUTO_FREE char *settings = NULL, *policy = NULL;
	struct err e = {0};
	size_t len, policy_len;

	int r = config_parse(&source, &config, &e);
	if (r == 0)
		r = config_text(&source, &settings, &len, &e);
	if (r == 0)
		r = write_file(dir, "config", "default", true, settings, len);
	if (r == 0)
		r = policy_text("policy.json", NULL, 0, config, &policy, &policy_len, &e);
	if (r == 0)
		r = write_file(dir, "policy", "default", true, policy, policy_len);
	config_free(config);
	return r;
}

/* ---- dictionaries ---- */

static void object_words(FILE *out, const struct schema_object *o)
{
	for (const struct schema_field *f = o->fields; f->name; f++) {
		fprintf(out, "\"%s\"\n", f->name);
		if (f->type == S_OBJECT)
			object_words(out, f->object);
		else if ((f->type == S_LIST || f->type == S_MAP) && f->of->type == S_OBJECT)
			object_words(out, f->of->object);
		for (size_t i = 0; f->type == S_WORDS && f->words[i]; i++)
			fprintf(out, "\"%s\"\n", f->words[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(o->parts) && o->parts[i]; i++)
		object_words(out, o->parts[i]);
}

static void config_words(FILE *out, const struct config_object *o)
{
	for (const struct config_row *row = o->rows; row->key; row++) {
		AUTO_FREE char *key = xstrdup(row->key);
		for (char *word = strtok(key, "."); word; word = strtok(NULL, "."))
			fprintf(out, "\"%s\"\n", word);
		if ((row->type == CONFIG_LIST || row->type == CONFIG_MAP))
			config_words(out, row->object());
	}
}

static int write_words(const char *dir, const char *name)
{
	AUTO_FREE char *path = xasprintf("%s/%s.dict", dir, name);
	FILE *out = fopen(path, "we");

	if (!out)
		return -errno;
	if (strcmp(name, "config") == 0)
		config_words(out, config_rows());
	for (unsigned id = 0; strcmp(name, "config") != 0 && id < SCH_COUNT; id++)
		if (schema_root((enum schema_id)id)->type == S_OBJECT)
			object_words(out, schema_root((enum schema_id)id)->object);
	return fclose(out) == 0 ? 0 : -errno;
}

int main(int argc, char **argv)
{
	size_t count;
	const struct ipc_message *const *all = ipc_messages(&count);
	int r = argc == 2 ? 0 : -EINVAL;

	for (size_t i = 0; r == 0 && i < 2 * count; i++)
		r = seed_message(argv[1], all[i / 2], i % 2);
	for (size_t i = 0; r == 0 && i < 2 * count; i++)
		r = seed_packet(argv[1], all[i / 2], i % 2);
	for (unsigned i = 0; r == 0 && i < 2 * SCH_COUNT; i++)
		r = seed_schema(argv[1], (enum schema_id)(i / 2), i % 2);
	if (r == 0)
		r = seed_files(argv[1]);
	if (r == 0)
		r = write_words(argv[1], "schema");
	if (r == 0)
		r = write_words(argv[1], "config");
	if (r < 0)
		fprintf(stderr, "seed: %s\n", strerror(-r));
	return r < 0;
}
