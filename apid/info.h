/* info: the document of /info, from what the processes have said. */
#ifndef POUCH_APID_INFO_H
#define POUCH_APID_INFO_H

struct apid;
struct json_t;

/* A member of `containers` that is no member of the document: why containers have the ids of the host; or null. */
#define INFO_HOST_IDS "HostIds"

/*
 * SystemInfo of both specifications and Services. The parts are borrowed, each NULL when that process did not answer;
 * takes `warnings`. A new reference.
 */
struct json_t *info_document(const struct apid *a, const struct json_t *supervisor, const struct json_t *containers,
			     const struct json_t *images, const struct json_t *networks, struct json_t *take_warnings);

#endif
