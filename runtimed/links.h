/* links: HostConfig.Links, other containers by a name of one's own. */
#ifndef POUCH_RUNTIMED_LINKS_H
#define POUCH_RUNTIMED_LINKS_H

#include "runtimed/container.h"

/*
 * At creation: "container", "container:alias", or what inspect shows, "/container:/name/alias", become "id:alias", so
 * that a link follows the other container when it is renamed. 404 when there is none, unless the link is also one of a
 * network's endpoint: the other may come later there, and is then found by its name.
 */
int links_read(struct container *c, struct err *e);
/* As netd wants them, into *out: [{"Id","Name","Alias"}]. 404 when one of the others is not there any more. */
int links_found(const struct container *c, json_t **out, struct err *e);
bool links_have(const struct container *c, const struct container *to);
/* Its own name and those that links of its owner's others give it, as "/store" and "/web/alias"; a new reference. */
json_t *links_names(const struct container *c);
/* "web/alias" → what is linked so; NULL when nothing is. */
struct container *links_resolve(const struct containers *all, const char *ref);
/* A container with links has come, goes, or has another name: what is listed of the others is not true any more. */
void links_touched(const struct container *c);
/* For inspect, in Docker's form "/container:/name/alias" with the names of now; a new reference. */
json_t *links_shown(const struct container *c);

#endif
