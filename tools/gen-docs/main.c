#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/util.h"
#include "tools/gen-docs/gen.h"

static const struct {
	const char *name;
	void (*print)(void);
} pages[] = {{"protocol", gen_protocol}, {"api", gen_api},	 {"schema", gen_schema},  {"config", gen_config},
	     {"sysusers", gen_sysusers}, {"policy", gen_policy}, {"logging", gen_logging}};

void gen_cell(const char *text)
{
	for (; *text; text++)
		printf(*text == '|' ? "\\|" : "%c", *text);
}

static void number_rule(const struct ipc_field *f, char *out, size_t size)
{
	char low[32], high[32] = "", def[48] = "";

	snprintf(low, sizeof low, "%" PRId64, f->min);
	if (f->type == T_U32 ? f->max < UINT32_MAX : f->type == T_U64 ? f->max < INT64_MAX : f->max < INT32_MAX)
		snprintf(high, sizeof high, "%" PRIu64, f->max);
	if (f->where == W_QUERY && f->def != INT32_MIN)
		snprintf(def, sizeof def, "; %" PRId64 " when absent", f->def);
	bool any_low = f->min <= INT32_MIN;
	snprintf(out, size, "integer%s%s%s%s%s",
		 any_low   ? ""
		 : high[0] ? ", "
			   : ", at least ",
		 any_low ? "" : low, high[0] ? (any_low ? ", at most " : " to ") : "", high, def);
}

static void text_rule(const struct ipc_field *f, char *out, size_t size)
{
	char length[64];

	if (f->min == (int64_t)f->max)
		snprintf(length, sizeof length, "%" PRIu64 " bytes", f->max);
	else if (f->min)
		snprintf(length, sizeof length, "%" PRId64 " to %" PRIu64 " bytes", f->min, f->max);
	else
		snprintf(length, sizeof length, "at most %" PRIu64 " bytes", f->max);
	snprintf(out, size, "%s; %s", grammar_words((enum grammar)f->rule), length);
}

void gen_rule(const struct ipc_field *f, char *out, size_t size)
{
	switch (f->type) {
	case T_BOOL:
		if (f->where == W_QUERY)
			snprintf(out, size, "boolean; %s when absent", f->def ? "true" : "false");
		else
			snprintf(out, size, "boolean");
		break;
	case T_U32:
	case T_U64:
	case T_I64:
		number_rule(f, out, size);
		break;
	case T_STR:
		text_rule(f, out, size);
		break;
	case T_BYTES:
		snprintf(out, size, "at most %" PRIu64 " bytes", f->max);
		break;
	case T_DOC:
		snprintf(out, size, "JSON: [%s](schema.md#%s)", schema_name((enum schema_id)f->rule),
			 schema_name((enum schema_id)f->rule));
		break;
	case T_FD:
		snprintf(out, size, "descriptor: %s", fd_kind_name((enum fd_kind)f->rule));
		break;
	}
}

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < ARRAY_LEN(pages); i++)
		if (strcmp(argv[1], pages[i].name) == 0) {
			pages[i].print();
			return fflush(stdout) == 0 ? 0 : 1;
		}
	fprintf(stderr, "usage: gen-docs protocol|api|schema|config|sysusers\n");
	return 2;
}
