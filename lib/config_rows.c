/* The rows of lib/config.def as tables. */
#include "lib/config_parse.h"
#include "lib/config_rule.h"

/* DERIVED stands where a default is a text: NULL. */
#define DERIVED NULL

#define OBJECT(name, about)                                                                                            \
	static const struct config_object *object_##name(void)                                                         \
	{                                                                                                              \
		typedef struct config_##name self;                                                                     \
		static const char title[] = #name, words[] = about;                                                    \
		static const struct config_row rows[] = {
#define SETTING(kind, member, name, time, value, least, most, arg, text)                                               \
	{.key = (name),                                                                                                \
	 .type = CONFIG_##kind,                                                                                        \
	 .when = (time),                                                                                               \
	 .def = (value),                                                                                               \
	 .min = (least),                                                                                               \
	 .max = (most),                                                                                                \
	 RULE_##kind(arg).doc = (text),                                                                                \
	 .offset = offsetof(self, member)},
#define RULE_FLAG(arg)
#define RULE_NUMBER(arg)
#define RULE_SIZE(arg)
#define RULE_TIME(arg)
#define RULE_PATH(arg)
#define RULE_MODE(arg)
#define RULE_TEXT(arg)	 .rule = (arg),
#define RULE_TEXTS(arg)	 .rule = (arg),
#define RULE_CHOICE(arg) .words = (arg),
#define RULE_LIST(arg)	 .object = object_##arg,
#define RULE_MAP(arg)	 .object = object_##arg,
#define END_OBJECT(name)                                                                                               \
	{.key = NULL},                                                                                                 \
	}                                                                                                              \
	;                                                                                                              \
	static const struct config_object object = {title, words, rows, sizeof(self)};                                 \
	return &object;                                                                                                \
	}
#include "lib/config.def"

const struct config_object *config_rows(void)
{
	return object_engine();
}
