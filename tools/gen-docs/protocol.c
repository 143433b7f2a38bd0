/* docs/protocol.md: every message between processes. */
#include <stdio.h>

#include "ipc/codec.h"
#include "tools/gen-docs/gen.h"

static const char intro[] =
	"# The wire between the engine's processes\n\n"
	"Made from `ipc/*.def` by `make docs`; do not edit.\n\n"
	"Processes talk over `AF_UNIX` `SOCK_SEQPACKET` sockets: a packet is one whole message with its descriptors. A "
	"packet\n"
	"has at most %u bytes and %u descriptors; longer bytes travel as a sealed memfd, bulk data as a pipe or as "
	"the\n"
	"client's own socket. Either side begins with `hello`, which carries a hash of all tables: programs with\n"
	"different tables do not talk. Who the peer is comes from the kernel (`SO_PEERCRED`), and must be among a "
	"message's\n"
	"senders. A request is answered by any number of `chunk` and one END (the reply named below) or ERROR "
	"(`failure`).\n\n"
	"Integers are little-endian, fields follow each other in the order of the rows:\n\n"
	"| type | bytes |\n|---|---|\n"
	"| BOOL | one: 0 or 1 |\n| U32, U64, I64 | 4, 8, 8 |\n"
	"| STR | length in 4 (0xffffffff: absent), the bytes, one NUL |\n"
	"| BYTES, DOC | length in 4 (0xffffffff: absent); one: 0, the bytes and one NUL follow; 1, they are in the "
	"next "
	"descriptor, a sealed memfd |\n"
	"| FD | one: 0 absent, 1 the next descriptor |\n\n"
	"The decoder checks every length, range, grammar and kind of descriptor, and the exact end. A bad message "
	"costs its\n"
	"sender the connection.\n\n"
	"An operation of the API (its route stands behind its name; see [api.md](api.md)) is sent by apid and answered "
	"by\n"
	"`api_reply`. Its first four fields say who asks.\n";

static const char *const types[] = {[T_BOOL] = "BOOL", [T_U32] = "U32",	    [T_U64] = "U64", [T_I64] = "I64",
				    [T_STR] = "STR",   [T_BYTES] = "BYTES", [T_DOC] = "DOC", [T_FD] = "FD"};

static void print_senders(uint32_t senders)
{
	const char *separator = "";

	if (senders == ~0u) {
		printf("any process");
		return;
	}
	for (int id = 1; id < PROC_LIMIT; id++)
		if (senders & (1u << id)) {
			printf("%s%s", separator, process_name((enum process_id)id));
			separator = ", ";
		}
}

static void print_fields(const struct ipc_message *m)
{
	if (!m->nfields) {
		printf("No fields.\n");
		return;
	}
	printf("| field | type | what it holds |\n|---|---|---|\n");
	for (size_t i = 0; i < m->nfields; i++) {
		const struct ipc_field *f = &m->fields[i];
		char rule[512];
		gen_rule(f, rule, sizeof rule);
		printf("| %s | %s%s | ", f->name, types[f->type], f->need == OPTIONAL ? ", optional" : "");
		gen_cell(rule);
		printf(" |\n");
	}
}

static void print_message(const struct ipc_message *m)
{
	printf("\n### %s\n\n`0x%04x`", m->name, m->number);
	if (m->op)
		printf(", `%s %s`", m->op->method, m->op->pattern);
	printf(", sent by ");
	print_senders(m->senders);
	if (ipc_message(m->reply))
		printf(", answered by `%s`", ipc_message(m->reply)->name);
	printf(".\n\n");
	print_fields(m);
}

void gen_protocol(void)
{
	size_t count;
	const struct ipc_message *const *all = ipc_messages(&count);

	printf(intro, IPC_MESSAGE_MAX, (unsigned)IPC_FDS_MAX);
	for (int owner = 0; owner < PROC_LIMIT; owner++) {
		bool headed = false;
		for (size_t i = 0; i < count; i++) {
			if (MSG_OWNER(all[i]->number) != (enum process_id)owner)
				continue;
			if (!headed && owner == 0)
				printf("\n## Of every channel\n");
			else if (!headed)
				printf("\n## %s: %s\n", process_name((enum process_id)owner),
				       process_owns((enum process_id)owner));
			headed = true;
			print_message(all[i]);
		}
	}
}
