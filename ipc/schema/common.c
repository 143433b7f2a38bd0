/* Rows that documents of every kind share. */
#include "ipc/schema/rows.h"

TEXT_ELEMENT(text, G_BYTES, ARGUMENT_MAX);

const struct schema_field schema_label_element = {.type = S_TEXT, .rule = G_BYTES, .max = 65536};
const struct schema_field schema_option_element = {.type = S_TEXT, .rule = G_BYTES, .max = 65536};

const struct schema_field schema_any = {.type = S_ANY};
const struct schema_field schema_opaque = {.type = S_ANY};

const struct schema_object schema_nothing_object = {
	.name = "Nothing",
	.doc = "An object without members.",
	.fields = (const struct schema_field[]){{0}},
};
const struct schema_field schema_empty = {.type = S_OBJECT, .object = &schema_nothing_object};

const struct schema_field schema_text_list = {.type = S_LIST, .of = &text, .max = LIST_MAX};
const struct schema_field schema_text_map = {.type = S_MAP, .rule = G_BYTES, .of = &text, .max = LIST_MAX};
