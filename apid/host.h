/* host: what /info says about the machine, read once before the sandbox closes. */
#ifndef POUCH_APID_HOST_H
#define POUCH_APID_HOST_H

struct config;
struct json_t;

/* Members of SystemInfo; a new reference. `root` is the engine's. */
struct json_t *host_facts(const char *root);
/* Go's name of a machine of uname(2): "amd64" for "x86_64". */
const char *host_architecture(const char *machine);

#endif
