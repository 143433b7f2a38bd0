/* rows: how the tables of ipc/schema/ are written. The last arguments are members of struct schema_field: .since = 41 */
#ifndef POUCH_IPC_SCHEMA_ROWS_H
#define POUCH_IPC_SCHEMA_ROWS_H

#include "ipc/schema.h"

/* One argument or environment string of a program (MAX_ARG_STRLEN of Linux, without its NUL). */
#define ARGUMENT_MAX 131071
#define PATH_MAX_	 4095
#define LIST_MAX	 4096

#define FLAG(n, c, d, ...)	     {.name = n, .type = S_BOOL, .class = c, .doc = d, __VA_ARGS__}
#define INT(n, lo, hi, c, d, ...)    {.name = n, .type = S_INT, .min = lo, .max = hi, .class = c, .doc = d, __VA_ARGS__}
#define TEXT(n, g, most, c, d, ...)  {.name = n, .type = S_TEXT, .rule = g, .max = most, .class = c, .doc = d, __VA_ARGS__}
#define WORDS(n, w, c, d, ...)	     {.name = n, .type = S_WORDS, .words = w, .class = c, .doc = d, __VA_ARGS__}
#define LIST(n, element, c, d, ...)  {.name = n, .type = S_LIST, .of = &element, .max = LIST_MAX, .class = c, .doc = d, __VA_ARGS__}
#define MAP(n, g, element, c, d, ...)                                                                                  \
	{.name = n, .type = S_MAP, .rule = g, .of = &element, .max = LIST_MAX, .class = c, .doc = d, __VA_ARGS__}
#define OBJECT(n, o, c, d, ...)	     {.name = n, .type = S_OBJECT, .object = &schema_##o##_object, .class = c, .doc = d, __VA_ARGS__}
#define FILTER(n, d, ...)	     {.name = n, .type = S_FILTER, .doc = d, __VA_ARGS__}
#define ANSWER(n, d, ...)	     {.name = n, .type = S_ANSWER, .doc = d, __VA_ARGS__}
#define REFUSED(n, d, ...)	     {.name = n, .type = S_REFUSED, .doc = d, __VA_ARGS__}

#define WINDOWS_ONLY "is only for Windows"

/* Elements of lists and maps. */
#define TEXT_ELEMENT(variable, g, most) \
	static const struct schema_field variable = {.type = S_TEXT, .rule = g, .max = most}
#define OBJECT_ELEMENT(variable, o) \
	static const struct schema_field variable = {.type = S_OBJECT, .object = &schema_##o##_object}

/* An object of several tables, and the outermost row of a document. */
#define DECLARE_OBJECT(o) extern const struct schema_object schema_##o##_object
#define ROOT_OBJECT(o)                                                                                                 \
	const struct schema_field schema_##o = {.type = S_OBJECT, .object = &schema_##o##_object}

#define SCHEMA(id, table, what) extern const struct schema_field schema_##table;
#include "ipc/schemas.def"
#undef SCHEMA

DECLARE_OBJECT(container_config);
DECLARE_OBJECT(endpoint_settings);
DECLARE_OBJECT(host_config);
DECLARE_OBJECT(mount);
DECLARE_OBJECT(networking_config);
DECLARE_OBJECT(nothing);
DECLARE_OBJECT(resources);
DECLARE_OBJECT(restart_policy);

/* Label maps, shared by every kind of object. */
extern const struct schema_field schema_label_element, schema_option_element;

#endif
