/* rows: how the tables of ipc/schema/ are written. Last arguments set members of struct schema_field: .since = 41 */
#ifndef POUCH_IPC_SCHEMA_ROWS_H
#define POUCH_IPC_SCHEMA_ROWS_H

#include "ipc/schema.h"

/* One argument or environment string of a program (MAX_ARG_STRLEN of Linux, without its NUL). */
#define ARGUMENT_MAX 131071
#define PATH_MAX_    4095
#define LIST_MAX     4096

#define ROW_(n, t, c, d, ...) .name = n, .type = t, .class = c, .doc = d, __VA_ARGS__
#define FLAG(n, c, d, ...)                                                                                             \
	{                                                                                                              \
		ROW_(n, S_BOOL, c, d, __VA_ARGS__)                                                                     \
	}
#define INT(n, lo, hi, c, d, ...)                                                                                      \
	{                                                                                                              \
		.min = lo, .max = hi, ROW_(n, S_INT, c, d, __VA_ARGS__)                                                \
	}
#define TEXT(n, g, most, c, d, ...)                                                                                    \
	{                                                                                                              \
		.rule = g, .max = most, ROW_(n, S_TEXT, c, d, __VA_ARGS__)                                             \
	}
#define WORDS(n, w, c, d, ...)                                                                                         \
	{                                                                                                              \
		.words = w, ROW_(n, S_WORDS, c, d, __VA_ARGS__)                                                        \
	}
#define LIST(n, e, c, d, ...)                                                                                          \
	{                                                                                                              \
		.of = &e, .max = LIST_MAX, ROW_(n, S_LIST, c, d, __VA_ARGS__)                                          \
	}
#define MAP(n, g, e, c, d, ...)                                                                                        \
	{                                                                                                              \
		.rule = g, .of = &e, .max = LIST_MAX, ROW_(n, S_MAP, c, d, __VA_ARGS__)                                \
	}
#define OBJECT(n, o, c, d, ...)                                                                                        \
	{                                                                                                              \
		.object = &schema_##o##_object, ROW_(n, S_OBJECT, c, d, __VA_ARGS__)                                   \
	}
#define FILTER(n, d, ...)                                                                                              \
	{                                                                                                              \
		ROW_(n, S_FILTER, C_PLAIN, d, __VA_ARGS__)                                                             \
	}
#define ANSWER(n, d, ...)                                                                                              \
	{                                                                                                              \
		ROW_(n, S_ANSWER, C_PLAIN, d, __VA_ARGS__)                                                             \
	}
#define REFUSED(n, d, ...)                                                                                             \
	{                                                                                                              \
		ROW_(n, S_REFUSED, C_PLAIN, d, __VA_ARGS__)                                                            \
	}

#define WINDOWS_ONLY "is only for Windows"

/* Elements of lists and maps. */
#define TEXT_ELEMENT(variable, g, most)                                                                                \
	static const struct schema_field variable = {.type = S_TEXT, .rule = g, .max = most}
#define OBJECT_ELEMENT(variable, o)                                                                                    \
	static const struct schema_field variable = {.type = S_OBJECT, .object = &schema_##o##_object}

/* An object of several tables, and the outermost row of a document. */
#define DECLARE_OBJECT(o) extern const struct schema_object schema_##o##_object
#define ROOT_OBJECT(o)	  const struct schema_field schema_##o = {.type = S_OBJECT, .object = &schema_##o##_object}

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
