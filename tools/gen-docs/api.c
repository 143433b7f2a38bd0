/* docs/api.md: every route. */
#include <stdio.h>
#include <string.h>

#include "lib/util.h"
#include "tools/gen-docs/gen.h"

static const char intro[] =
	"# The API\n\n"
	"Made from the OP rows of `ipc/*.def` and from `apid/refused.def` by `make docs`; do not edit.\n\n"
	"`/v1.24` is the Pouch Engine API, `/v1.25` to `/v1.47` and paths without a version are Docker's. What a "
	"request's\n"
	"documents may hold is in [schema.md](schema.md). Errors are `{\"message\": \"…\"}`.\n\n"
	"An operation needs the permission named; its effect says what the audit log keeps of it: *safe* nothing but\n"
	"denials, *reveal* one record, *change* a record before it is done and one after. *stream* and *hijack* "
	"answers\n"
	"follow the request for as long as it lasts.\n\n"
	"## All routes\n\n"
	"| route | versions | permission | effect | answer | answered by |\n|---|---|---|---|---|---|\n";

static const struct {
	const char *method, *pattern;
	unsigned since;
	int status;
	const char *text;
} refused[] = {
#define REFUSED(method, pattern, since, status, text) {#method, pattern, since, status, text},
#include "apid/refused.def"
#undef REFUSED
};

static const char *const effects[] = {[SAFE] = "safe", [REVEAL] = "reveal", [CHANGE] = "change"};
static const char *const answers[] = {[REPLY] = "reply", [STREAM] = "stream", [HIJACK] = "hijack"};
static const char *const wheres[] = {[W_NONE] = "",
				     [W_PATH] = "path",
				     [W_QUERY] = "query",
				     [W_HEADER] = "header",
				     [W_BODY] = "body",
				     [W_UPLOAD] = "body, streamed",
				     [W_STREAM] = "connection"};

static void print_head(const struct ipc_message *m)
{
	printf("| [%s %s](#%s) | 1.%u to 1.%u | %s | %s | %s | %s |\n", m->op->method, m->op->pattern, m->name,
	       m->op->since, m->op->until, m->op->permission, effects[m->op->effect], answers[m->op->answer],
	       process_name(MSG_OWNER(m->number)));
}

static void print_route(const struct ipc_message *m)
{
	bool headed = false;

	printf("\n<a name=\"%s\"></a>\n### %s %s\n\nPermission `%s`; versions 1.%u to 1.%u; answered by %s.\n", m->name,
	       m->op->method, m->op->pattern, m->op->permission, m->op->since, m->op->until,
	       process_name(MSG_OWNER(m->number)));
	for (size_t i = 0; i < m->nfields; i++) {
		const struct ipc_field *f = &m->fields[i];
		char rule[512];
		if (f->where == W_NONE)
			continue;
		if (!headed)
			printf("\n| parameter | in | what it holds |\n|---|---|---|\n");
		headed = true;
		gen_rule(f, rule, sizeof rule);
		bool named = f->where == W_PATH || f->where == W_QUERY || f->where == W_HEADER;
		printf("| %s | %s%s | ", named ? f->wire : "", wheres[f->where],
		       f->need == REQUIRED && f->where == W_BODY ? ", required" : "");
		gen_cell(f->type == T_FD ? "bytes" : rule);
		printf(" |\n");
	}
}

void gen_api(void)
{
	size_t count;
	const struct ipc_message *const *all = ipc_messages(&count);

	printf(intro);
	for (size_t i = 0; i < count; i++)
		if (all[i]->op)
			print_head(all[i]);
	printf("\n## Routes in detail\n");
	for (size_t i = 0; i < count; i++)
		if (all[i]->op)
			print_route(all[i]);
	printf("\n## What Docker's API has and this engine has not\n\n| route | since | status | answer "
	       "|\n|---|---|---|---|\n");
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		printf("| %s %s | 1.%u | %d | ", refused[i].method, refused[i].pattern, refused[i].since,
		       refused[i].status);
		gen_cell(refused[i].text);
		printf(" |\n");
	}
}
