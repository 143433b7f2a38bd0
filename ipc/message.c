#include "ipc/message.h"

#include <string.h>

#include "ipc/fingerprint.h"
#include "lib/util.h"

/*
 * The field rows of every message. A row knows its place by offsetof in the struct that it is a
 * member of: inside each table's function `struct_type` is that struct.
 */
#define FIELD_ROW(cname, wire, type, where, need, rule, min, max, def)                                                 \
	{#cname,                                                                                                       \
	 wire,                                                                                                         \
	 type,                                                                                                         \
	 where,                                                                                                        \
	 need,                                                                                                         \
	 (int)(rule),                                                                                                  \
	 (int64_t)(min),                                                                                               \
	 (uint64_t)(max),                                                                                              \
	 def,                                                                                                          \
	 offsetof(struct_type, cname)},
#define ASKER_ROW(cname, type, rule, max)                                                                              \
	{#cname, #cname, type, W_NONE, OPTIONAL, (int)(rule), 0, max, 0, offsetof(struct_type, asker.cname)},
#define MSG(name, number, senders, reply)                                                                              \
	static const struct ipc_field *name##_rows(size_t *count)                                                      \
	{                                                                                                              \
		typedef struct name struct_type UNUSED;                                                                \
		static const struct ipc_field rows[] = {
#define OP(name, number, method, pattern, since, until, permission, effect, answer)                                    \
	MSG(name, number, 0, 0)                                                                                        \
	ASKER_ROW(caller, T_FD, FD_STREAM, 0)                                                                          \
	ASKER_ROW(attested, T_STR, G_TEXT, 1023)                                                                       \
	ASKER_ROW(listener, T_U32, 0, UINT32_MAX)                                                                      \
	ASKER_ROW(audit_id, T_STR, G_TEXT, 64)
#define FIELD_ FIELD_ROW
#define END(name)                                                                                                      \
	{0},                                                                                                           \
	}                                                                                                              \
	;                                                                                                              \
	*count = ARRAY_LEN(rows) - 1;                                                                                  \
	return rows;                                                                                                   \
	}
#include "ipc/fields-each.h"
#include "ipc/messages.def"
#include "ipc/fields-undef.h"

/* The heads. */
#define MSG(name, number, senders, reply) {#name, number, senders, IPC_##reply, sizeof(struct name), NULL, 0, NULL},
#define OP(name, number, method, pattern, since, until, permission, effect, answer)                                    \
	{#name,                                                                                                        \
	 number,                                                                                                       \
	 P(apid),                                                                                                      \
	 IPC_api_reply,                                                                                                \
	 sizeof(struct name),                                                                                          \
	 NULL,                                                                                                         \
	 0,                                                                                                            \
	 &(const struct ipc_op){#method, pattern, since, until, permission, effect, answer}},
static struct ipc_message heads[] = {
#include "ipc/fields-none.h"
#include "ipc/messages.def"
#include "ipc/fields-undef.h"
};

static const struct ipc_message *index_of[ARRAY_LEN(heads)];

static uint64_t add_op(uint64_t h, const struct ipc_op *op)
{
	h = fingerprint_text(h, op->method);
	h = fingerprint_text(h, op->pattern);
	h = fingerprint_text(h, op->permission);
	h = fingerprint_number(h, op->since);
	h = fingerprint_number(h, op->until);
	h = fingerprint_number(h, op->effect);
	return fingerprint_number(h, op->answer);
}

static uint64_t add_message(uint64_t h, const struct ipc_message *m)
{
	h = fingerprint_text(h, m->name);
	h = fingerprint_number(h, m->number);
	h = fingerprint_number(h, m->senders);
	h = fingerprint_number(h, m->reply);
	for (size_t i = 0; i < m->nfields; i++) {
		const struct ipc_field *f = &m->fields[i];
		const uint64_t facts[] = {f->type,	    f->where, f->need,	       (uint64_t)f->rule,
					  (uint64_t)f->min, f->max,   (uint64_t)f->def};
		h = fingerprint_text(h, f->name);
		h = fingerprint_text(h, f->wire);
		h = fingerprint_bytes(h, facts, sizeof facts);
	}
	return m->op ? add_op(h, m->op) : h;
}

/* Before main(): the tables are complete from the first line of any daemon. */
__attribute__((constructor)) static void complete_tables(void)
{
	size_t i = 0;

#define MSG(name, number, senders, reply) heads[i].fields = name##_rows(&heads[i].nfields), i++;
#define OP(name, ...)			  MSG(name, 0, 0, 0)
#include "ipc/fields-none.h"
#include "ipc/messages.def"
#include "ipc/fields-undef.h"

	for (size_t k = 0; k < ARRAY_LEN(heads); k++)
		index_of[k] = &heads[k];
}

const struct ipc_message *const *ipc_messages(size_t *count)
{
	*count = ARRAY_LEN(heads);
	return index_of;
}

/* A few hundred rows in owner order: a two-level index by owner and count would save nothing measurable. */
const struct ipc_message *ipc_message(uint16_t number)
{
	for (size_t i = 0; i < ARRAY_LEN(heads); i++)
		if (heads[i].number == number && number)
			return &heads[i];
	return NULL;
}

uint64_t ipc_schema_hash(void)
{
	static uint64_t hash;

	if (hash)
		return hash;
	hash = fingerprint_documents(FINGERPRINT_START);
	for (size_t k = 0; k < ARRAY_LEN(heads); k++)
		hash = add_message(hash, &heads[k]);
	return hash;
}
