/*
 * message: what a message is. Every message of the engine is a block of rows in a .def file,
 * one file an owner; all of them are listed in ipc/messages.def. From a block come the C struct,
 * the encoder and checking decoder (ipc/codec.h walks the field rows), the dispatch row, the
 * name in logs and audit, docs/protocol.md, docs/api.md and the fuzz seeds.
 *
 *   MSG(name, number, senders, reply)            a message between helpers
 *   OP(name, number, METHOD, pattern, since, until, permission, effect, answer)
 *                                                an operation of the API: one HTTP route and, at
 *                                                the same time, the message that carries it from
 *                                                apid to the owner; the reply is `api_reply`
 *     ...field rows...
 *   END(name)
 *
 *   number     0xOONN: OO is the owner's id in process.def, NN its own count
 *   senders    P(apid) | P(runtimed): who may send it; checked against SO_PEERCRED
 *   reply      the message that answers it, or `done` (no fields)
 *   pattern    "/containers/{id}/start": {x} is one path segment, {x...} one or more
 *   since..until   minor versions of API 1.x in which the route exists
 *   permission "container.start"; one an operation
 *   effect     SAFE (reads what anyone with the permission may see, repeatable),
 *              REVEAL (reads, repeatable, and leaves an audit record), CHANGE (audited before it is done)
 *   answer     REPLY (one api_reply), STREAM (chunks or a pipe, then END), HIJACK (101 or 200, then raw bytes)
 *
 * Field rows of an OP, where the HTTP request says what it is:
 *   PATH(name, grammar, max)             a segment of the pattern
 *   Q_STR(name, grammar, max)            ?name=, NULL when absent
 *   Q_BOOL(name, default)                ?name=, as Docker reads booleans
 *   Q_INT(name, min, max, default)       ?name=
 *   Q_DOC(name, schema)                  ?name= carrying JSON (filters)
 *   Q_STR_AS, Q_BOOL_AS(field, "query-name", ...)   where the query's name is no C name
 *   HDR(field, "Header-Name", grammar, max)
 *   BODY(name, schema, REQUIRED|OPTIONAL)  a JSON body
 *   UPLOAD(name)                         the body as the reading end of a pipe (absent without a body)
 *   STREAM_FD(name)                      HIJACK: the client's byte stream
 * Field rows of a MSG (and of an OP, for what apid adds):
 *   BOOL(name) U32(name, max) U64(name, max) I64(name, min, max)
 *   STR(name, grammar, min, max) OPT_STR(name, grammar, max)
 *   BYTES(name, max)  OPT_BYTES(name, max)   bytes, in a sealed memfd when they are many
 *   DOC(name, schema) OPT_DOC(name, schema)  JSON, checked against the schema by the decoder
 *   FD(name, kind) OPT_FD(name, kind)
 */
#ifndef POUCH_IPC_MESSAGE_H
#define POUCH_IPC_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/grammar.h"
#include "ipc/process.h"
#include "ipc/schema.h"
#include "lib/err.h"
#include "lib/fd.h"

struct json_t;

/* Bytes of chunks that a streamed answer may send before the first CREDIT. */
#define IPC_CREDIT (256u << 10)

/* Bytes of a message; from a decoder they live as long as the message. */
struct ipc_bytes {
	const char *data; /* NULL when absent; a decoder puts a NUL behind the last byte */
	size_t len;
	bool mapped; /* data is a mapping of a sealed memfd, undone by ipc_release() */
};

/* A JSON document. To send: set `json` (borrowed) or `raw`. Received: both are set. */
struct ipc_doc {
	struct ipc_bytes raw;
	struct json_t *json;
};

enum ipc_type { T_BOOL, T_U32, T_U64, T_I64, T_STR, T_BYTES, T_DOC, T_FD };

/* Where apid finds a field's value in an HTTP request. */
enum ipc_where { W_NONE, W_PATH, W_QUERY, W_HEADER, W_BODY, W_UPLOAD, W_STREAM };

enum ipc_need { REQUIRED, OPTIONAL };

struct ipc_field {
	const char *name; /* member of the struct */
	const char *wire; /* name in the HTTP request; as `name` elsewhere */
	enum ipc_type type;
	enum ipc_where where;
	enum ipc_need need;
	int rule;      /* enum grammar, enum schema_id or enum fd_kind, by type */
	int64_t min;   /* numbers: least value; strings and bytes: least length */
	uint64_t max;  /* numbers: greatest value; strings and bytes: greatest length */
	int64_t def;   /* value of an absent number or boolean */
	size_t offset; /* in the struct */
};

enum op_effect { SAFE, REVEAL, CHANGE };
enum op_answer { REPLY, STREAM, HIJACK };

struct ipc_op {
	const char *method; /* "GET" */
	const char *pattern;
	unsigned since, until; /* minor versions of 1.x */
	const char *permission;
	enum op_effect effect;
	enum op_answer answer;
};

struct ipc_message {
	const char *name;
	uint16_t number;
	uint32_t senders;
	uint16_t reply; /* number of the answering message, 0 for none */
	size_t size;	/* sizeof the struct */
	const struct ipc_field *fields;
	size_t nfields;
	const struct ipc_op *op; /* NULL for messages between helpers */
};

#define MSG_OWNER(number) ((enum process_id)((number) >> 8))

/* What every OP carries besides its own rows: who asks. Same layout at the start of every OP's struct. */
struct ipc_asker {
	int caller;	      /* the client's connected socket; -1 for a client known by certificate */
	const char *attested; /* certificate names as apid attests them, "CN=x,SAN=y"; NULL for local clients */
	uint32_t listener;    /* index of the listener in the config */
	const char *audit_id; /* apid's id of the HTTP request, for logs and audit */
};

/* enum of numbers: IPC_container_start = 0x0301 */
enum ipc_number {
	IPC_none = 0,
#define MSG(name, number, senders, reply)					    IPC_##name = (number),
#define OP(name, number, method, pattern, since, until, permission, effect, answer) IPC_##name = (number),
#include "ipc/fields-none.h"
#include "ipc/messages.def"
#include "ipc/fields-undef.h"
};

/* struct container_start { struct ipc_asker asker; const char *id; ... } */
#define MSG(name, number, senders, reply) struct name {
#define OP(name, number, method, pattern, since, until, permission, effect, answer)                                    \
	struct name {                                                                                                  \
		struct ipc_asker asker;
#define FIELD_(cname, wire, type, where, need, rule, min, max, def) MEMBER_##type(cname)
#define MEMBER_T_BOOL(n)					    bool n;
#define MEMBER_T_U32(n)						    uint32_t n;
#define MEMBER_T_U64(n)						    uint64_t n;
#define MEMBER_T_I64(n)						    int64_t n;
#define MEMBER_T_STR(n)						    const char *n;
#define MEMBER_T_BYTES(n)					    struct ipc_bytes n;
#define MEMBER_T_DOC(n)						    struct ipc_doc n;
#define MEMBER_T_FD(n)						    int n;
#define END(name)                                                                                                      \
	}                                                                                                              \
	;
#include "ipc/fields-each.h"
#include "ipc/messages.def"
#include "ipc/fields-undef.h"

/* The row of a message; NULL for an unknown number. */
const struct ipc_message *ipc_message(uint16_t number);
/* All rows, in the order of the tables. */
const struct ipc_message *const *ipc_messages(size_t *count);

/* Of every row of every table, messages and documents: two programs with different tables do not talk (HELLO). */
uint64_t ipc_schema_hash(void);

#endif
