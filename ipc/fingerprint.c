#include "ipc/fingerprint.h"

#include <string.h>

#include "lib/util.h"

uint64_t fingerprint_bytes(uint64_t h, const void *p, size_t n)
{
	const unsigned char *b = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * 0x100000001b3u;
	return h;
}

uint64_t fingerprint_number(uint64_t h, uint64_t v)
{
	return fingerprint_bytes(h, &v, sizeof v);
}

uint64_t fingerprint_text(uint64_t h, const char *s)
{
	h = fingerprint_number(h, s != NULL);
	return s ? fingerprint_bytes(h, s, strlen(s) + 1) : h;
}

static uint64_t add_object(uint64_t h, const struct schema_object *o)
{
	h = fingerprint_text(h, o->name);
	h = fingerprint_number(h, o->filters);
	for (const struct schema_field *f = o->fields; f->name; f++)
		h = fingerprint_field(h, f);
	for (size_t i = 0; i < ARRAY_LEN(o->parts) && o->parts[i]; i++)
		h = add_object(h, o->parts[i]);
	return fingerprint_text(h, NULL);
}

uint64_t fingerprint_field(uint64_t h, const struct schema_field *f)
{
	const uint64_t facts[] = {f->type,     f->class,     f->rule,		(uint64_t)f->min, f->max,
				  f->spec,     f->since,     f->until,		f->required,	  f->number_too,
				  f->text_too, f->has_unset, (uint64_t)f->unset};

	h = fingerprint_text(h, f->name);
	h = fingerprint_bytes(h, facts, sizeof facts);
	for (size_t i = 0; f->words && f->words[i]; i++)
		h = fingerprint_text(h, f->words[i]);
	if (f->of)
		h = fingerprint_field(h, f->of);
	if (f->object)
		h = add_object(h, f->object);
	return fingerprint_text(h, NULL);
}

uint64_t fingerprint_documents(uint64_t h)
{
	for (unsigned id = 0; id < SCH_COUNT; id++) {
		h = fingerprint_text(h, schema_name((enum schema_id)id));
		h = fingerprint_field(h, schema_root((enum schema_id)id));
	}
	return h;
}
