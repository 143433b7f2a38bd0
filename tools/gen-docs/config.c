/* docs/man/pouch.json.5: every setting, from lib/config.def. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/config.h"
#include "lib/config_derive.h"
#include "lib/daemon.h"
#include "lib/util.h"
#include "tools/gen-docs/gen.h"

static const char head[] =
	".\\\" Made from lib/config.def by \"make docs\"; do not edit.\n"
	".Dd November 24, 2026\n"
	".Dt POUCH.JSON 5\n"
	".Os Pouch\n"
	".Sh NAME\n"
	".Nm pouch.json\n"
	".Nd settings of the Pouch container engine\n"
	".Sh DESCRIPTION\n"
	".Nm\n"
	"is one JSON object, read by\n"
	".Xr pouchd 8\n"
	"from\n"
	".Pa /etc/pouch/pouch.json\n"
	"or the file behind\n"
	".Fl -config .\n"
	"Dots in the names below are nested objects:\n"
	".Ic limits.requests\n"
	"is written\n"
	".Bd -literal -offset indent\n"
	"{ \"limits\": { \"requests\": 4096 } }\n"
	".Ed\n"
	".Pp\n"
	"Every setting has a default, so that the file may be missing.\n"
	"Each can be given on the command line as\n"
	".Fl -set Ar KEY Ns = Ns Ar VALUE ,\n"
	"which overrides the file; lists of texts are then written with commas, lists of objects as JSON.\n"
	".Pp\n"
	"An unknown setting, a wrong type or a value out of bounds is an error that names file, line and setting:\n"
	"at the start the engine does not start, at a reload\n"
	".Po Dv SIGHUP\n"
	"or\n"
	".Ic pouchd ctl reload\n"
	".Pc\n"
	"the old settings stay.\n"
	"Settings that are marked\n"
	".Em fixed\n"
	"take effect when the engine starts; a reload that changes one of them is refused.\n"
	".Pp\n"
	"The kinds of values are:\n"
	".Bl -tag -width number\n"
	".It flag\n"
	"true or false.\n"
	".It number\n"
	"A whole number.\n"
	".It size\n"
	"Bytes as a number, or a text with k, m, g or t (powers of 1024): \"64m\".\n"
	".It time\n"
	"Seconds as a number, or a text with ms, s, m or h: \"500ms\".\n"
	".It text\n"
	"A text, which must keep the rule given.\n"
	".It path\n"
	"An absolute path.\n"
	".It mode\n"
	"A file mode as octal text: \"0660\".\n"
	".It list\n"
	"A list of texts, or of objects with settings of their own.\n"
	".It map\n"
	"An object whose members are objects with settings of their own; the member's name is the thing's name.\n"
	".El\n";

static const char tail[] =
	".Sh FILES\n"
	".Bl -tag -width /etc/pouch/pouch.json -compact\n"
	".It Pa /etc/pouch/pouch.json\n"
	"The settings.\n"
	".It Pa /etc/pouch/policy.json\n"
	"Who may do what; see\n"
	".Xr policy.json 5 .\n"
	".El\n"
	".Sh EXAMPLES\n"
	"A second socket for monitoring, whose clients get the built-in role viewer, and a registry mirror:\n"
	".Bd -literal -offset indent\n"
	"{\n"
	"  \"listeners\": [\n"
	"    {},\n"
	"    { \"path\": \"/run/pouch/viewer.sock\", \"group\": \"monitor\", \"role\": \"viewer\" }\n"
	"  ],\n"
	"  \"images\": {\n"
	"    \"registries\": {\n"
	"      \"docker.io\": { \"mirrors\": [\"https://mirror.example.org\"] }\n"
	"    }\n"
	"  }\n"
	"}\n"
	".Ed\n"
	".Sh SEE ALSO\n"
	".Xr policy.json 5 ,\n"
	".Xr pouchd 8 ,\n"
	".Xr pouchd-ctl 8\n";

static const char *const kinds[] = {
	[CONFIG_FLAG] = "flag",	 [CONFIG_NUMBER] = "number", [CONFIG_SIZE] = "size", [CONFIG_TIME] = "time",
	[CONFIG_TEXT] = "text",	 [CONFIG_PATH] = "path",     [CONFIG_MODE] = "mode", [CONFIG_CHOICE] = "text",
	[CONFIG_TEXTS] = "list", [CONFIG_LIST] = "list",     [CONFIG_MAP] = "map",
};

/* Lines of roff, one a sentence: nothing in them is a request or an escape. */
static void print_text(const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", stdout);
	for (; *text; text++) {
		if (*text == '\\')
			fputs("\\e", stdout);
		else if (*text == ' ' && text[-1] == '.')
			putchar('\n');
		else
			putchar(*text);
	}
}

/* 1 << 20 as "1m", 10000 ms as "10s". */
static void print_scaled(uint64_t v, const char *const *units, const uint64_t *factors)
{
	size_t i = 0;

	while (units[i + 1] && v && v % factors[i + 1] == 0)
		i++;
	printf("%" PRIu64 "%s", v / factors[i], units[i]);
}

static void print_bound(const struct config_row *row, uint64_t v)
{
	static const char *const sizes[] = {"", "k", "m", "g", "t", NULL};
	static const uint64_t bytes[] = {1, 1u << 10, 1u << 20, 1u << 30, 1ull << 40};
	static const char *const times[] = {"ms", "s", "m", "h", NULL};
	static const uint64_t ms[] = {1, 1000, 60000, 3600000};

	if (row->type == CONFIG_SIZE)
		print_scaled(v, sizes, bytes);
	else if (row->type == CONFIG_TIME)
		print_scaled(v, times, ms);
	else
		printf("%" PRIu64, v);
}

static void print_rule(const struct config_row *row)
{
	switch (row->type) {
	case CONFIG_NUMBER:
	case CONFIG_SIZE:
	case CONFIG_TIME:
		printf(", ");
		print_bound(row, row->min);
		printf(" to ");
		print_bound(row, row->max);
		break;
	case CONFIG_CHOICE:
		for (size_t i = 0; row->words[i]; i++)
			printf("%s%s", i ? ", " : ": ", row->words[i]);
		break;
	case CONFIG_TEXTS:
		printf(" of at most %" PRIu64 " texts", row->max);
		break;
	case CONFIG_LIST:
	case CONFIG_MAP:
		printf(" of %s%s, see below", row->object()->name, row->type == CONFIG_LIST ? " objects" : " settings");
		break;
	case CONFIG_FLAG:
	case CONFIG_TEXT:
	case CONFIG_PATH:
	case CONFIG_MODE:
		break;
	}
	if (row->rule) {
		printf("; ");
		print_text(row->rule->words);
	}
}

static void print_row(const struct config_row *row)
{
	printf(".It Ic %s\n", row->key);
	print_text(row->doc);
	printf("\n.br\n%s", kinds[row->type]);
	print_rule(row);
	char buf[256];
	const char *def = row->def ? row->def : config_derive(row->key, DAEMON_DEFAULT_ROOT, buf, sizeof buf);
	if (*def) {
		printf("; default ");
		print_text(def);
	}
	if (!row->def)
		printf(" (of the default root; others get one made from their path)");
	printf("%s.\n", row->when == START ? "; fixed" : "");
}

/* The group of a key: what stands before its first dot, or the key itself. */
static size_t group_length(const char *key)
{
	return strcspn(key, ".");
}

static void print_object(const struct config_object *o, bool groups)
{
	const struct config_row *last = NULL;

	for (const struct config_row *row = o->rows; row->key; last = row++) {
		size_t n = group_length(row->key);
		bool same = last && group_length(last->key) == n && strncmp(last->key, row->key, n) == 0;
		if (!last || (groups && !same)) {
			if (last)
				printf(".El\n");
			if (groups)
				printf(".Ss %.*s\n", (int)n, row->key);
			printf(".Bl -tag -width Ds\n");
		}
		print_row(row);
	}
	printf(".El\n");
}

void gen_config(void)
{
	const struct config_object *engine = config_rows();

	fputs(head, stdout);
	printf(".Sh SETTINGS\n");
	print_object(engine, true);
	for (const struct config_row *row = engine->rows; row->key; row++) {
		if (row->type != CONFIG_LIST && row->type != CONFIG_MAP)
			continue;
		const struct config_object *o = row->object();
		printf(".Sh SETTINGS OF A ");
		for (const char *p = o->name; *p; p++)
			putchar(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
		printf("\n");
		print_text(o->doc);
		printf("\n");
		print_object(o, false);
	}
	fputs(tail, stdout);
}
