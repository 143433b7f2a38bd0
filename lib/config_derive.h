/* config_derive: the defaults that engines with different roots on one machine must not share. */
#ifndef POUCH_LIB_CONFIG_DERIVE_H
#define POUCH_LIB_CONFIG_DERIVE_H

#include <stddef.h>

/*
 * The default of the setting `key` for the engine with this root, as a user would write it behind `--set key=`.
 * The default root has fixed names; every other gets names and numbers from a hash of its path. NULL for a key
 * that has no derived default.
 */
const char *config_derive(const char *key, const char *root, char *buf, size_t size);

#endif
