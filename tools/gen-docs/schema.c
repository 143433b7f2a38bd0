/* docs/schema.md: every document and every field. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/gen-docs/gen.h"

#define OBJECTS_MAX 256

static const char intro[] =
	"# The documents\n\n"
	"Made from `ipc/schema/` by `make docs`; do not edit.\n\n"
	"Names may be written in any case, as Go reads them. `null` is the same as leaving a field out. A name that is "
	"not\n"
	"here is an error (400), and so is a field of another API version or of another system, unless it is empty.\n\n"
	"*spec*: the specifications that name the field: both (Pouch's and Docker's), docker, or neither (clients send "
	"it).\n"
	"*class*: what the field can give away or take; policies and the redaction of secrets go by it.\n\n"
	"## By name\n\n| document | what it is | |\n|---|---|---|\n";

/* The objects already met: each is printed once, in the order in which documents lead to them. */
struct met {
	const struct schema_object *objects[OBJECTS_MAX];
	size_t count;
};

static void type_cell(const struct schema_field *f, char *out, size_t size)
{
	char inner[512];

	switch (f->type) {
	case S_OBJECT:
		snprintf(out, size, "[%s](#%s)", f->object->name, f->object->name);
		break;
	case S_LIST:
		type_cell(f->of, inner, sizeof inner);
		snprintf(out, size, "list of %s%s", inner, f->text_too ? ", or one text" : "");
		break;
	case S_MAP:
		type_cell(f->of, inner, sizeof inner);
		snprintf(out, size, "object: %s → %s", grammar_words(f->rule), inner);
		break;
	case S_FILTER:
		snprintf(out, size, "list of texts");
		break;
	case S_ANSWER:
		snprintf(out, size, "taken and dropped");
		break;
	case S_REFUSED:
		snprintf(out, size, "refused unless empty");
		break;
	default:
		schema_expected(f, out, size);
	}
}

static void meet(struct met *met, const struct schema_field *f);

static void meet_object(struct met *met, const struct schema_object *o)
{
	for (size_t i = 0; i < met->count; i++)
		if (met->objects[i] == o)
			return;
	if (met->count == OBJECTS_MAX)
		return;
	met->objects[met->count++] = o;
	for (const struct schema_field *f = o->fields; f->name; f++)
		meet(met, f);
	for (size_t i = 0; i < 3 && o->parts[i]; i++)
		meet_object(met, o->parts[i]);
}

static void meet(struct met *met, const struct schema_field *f)
{
	if (f->type == S_OBJECT)
		meet_object(met, f->object);
	else if (f->type == S_LIST || f->type == S_MAP)
		meet(met, f->of);
}

static void print_field(const struct schema_field *f)
{
	static const char *const specs[] = {[IN_BOTH] = "both", [IN_DOCKER] = "docker", [IN_CLIENTS] = "neither"};
	char type[1024], versions[32] = "";

	type_cell(f, type, sizeof type);
	if (f->until)
		snprintf(versions, sizeof versions, "to 1.%u", f->until);
	else if (f->since)
		snprintf(versions, sizeof versions, "from 1.%u", f->since);
	printf("| %s%s | ", f->name, f->required ? ", required" : "");
	gen_cell(type);
	printf(" | %s | %s | %s | ", versions, specs[f->spec], schema_class_name(f->class));
	gen_cell(f->doc);
	printf(" |\n");
}

static void print_object(const struct schema_object *o)
{
	printf("\n<a name=\"%s\"></a>\n### %s\n\n%s", o->name, o->name, o->doc);
	for (size_t i = 0; i < 3 && o->parts[i]; i++)
		printf(" It has the fields of [%s](#%s) too.", o->parts[i]->name, o->parts[i]->name);
	printf("\n");
	if (!o->fields->name)
		return;
	printf("\n| field | what it holds | versions | spec | class | |\n|---|---|---|---|---|---|\n");
	for (const struct schema_field *f = o->fields; f->name; f++)
		print_field(f);
}

void gen_schema(void)
{
	struct met met = {0};

	printf(intro);
	for (unsigned id = 0; id < SCH_COUNT; id++) {
		char type[1024] = "bytes";
		if (id != SCH_OPAQUE)
			type_cell(schema_root((enum schema_id)id), type, sizeof type);
		printf("| <a name=\"%s\"></a>%s | %s | ", schema_name((enum schema_id)id),
		       schema_name((enum schema_id)id), schema_what((enum schema_id)id));
		gen_cell(type);
		printf(" |\n");
		meet(&met, schema_root((enum schema_id)id));
	}
	printf("\n## Objects\n");
	for (size_t i = 0; i < met.count; i++)
		print_object(met.objects[i]);
}
