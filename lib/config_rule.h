/* config_rule: what texts in pouch.json must look like, and the words of its choices. */
#ifndef POUCH_LIB_CONFIG_RULE_H
#define POUCH_LIB_CONFIG_RULE_H

#include "lib/config.h"

extern const struct config_rule config_rule_any, config_rule_name, config_rule_user, config_rule_ip, config_rule_url,
	config_rule_host, config_rule_cgroup, config_rule_capability, config_rule_ifname, config_rule_subnet4,
	config_rule_subnet6, config_rule_identifier, config_rule_label, config_rule_log_driver;

/* NULL-ended; a word's place is the value of its enum. */
extern const char *const config_words_listener[],
	*const config_words_level[], *const config_words_sink[], *const config_words_bind[], *const config_words_copy[];

#endif
