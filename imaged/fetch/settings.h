/*
 * settings: how single hosts are reached: certificates, keys, proxy, as the configuration says. Files are read before
 * the sandbox, as the one who started the process; afterwards the keys of other registries are forgotten.
 */
#ifndef POUCH_IMAGE_FETCH_SETTINGS_H
#define POUCH_IMAGE_FETCH_SETTINGS_H

#include <stdbool.h>

#include "imaged/fetch/url.h"
#include "lib/config.h"

struct settings;

struct host_settings {
	const struct config_registry *config; /* NULL: the configuration does not name the host */
	const char *proxy, *no_proxy;	      /* "" for none */
	bool insecure;
	const char *ca, *cert, *key; /* PEM, NULL for none; lengths are strlen's */
	const char *problem;	     /* why a file could not be read, NULL */
};

struct settings *settings_new(const struct config *config);
void settings_free(struct settings *s);
/* Forget the keys of hosts that the registry of this name does not need. */
void settings_keep(struct settings *s, const char *registry);

/*
 * For the host that a URL names. A host of this machine's loopback that the configuration does not name is insecure:
 * what is sent there leaves the machine nowhere.
 */
struct host_settings settings_of(const struct settings *s, const struct url *url);

#endif
