/* spec: a launch_spec from a container's record, with the descriptors that it borrows. */
#ifndef POUCH_RUNTIMED_SPEC_H
#define POUCH_RUNTIMED_SPEC_H

#include "runtimed/container.h"
#include "runtimed/launch/launch.h"

struct spec {
	struct launch_spec launch;
	const char **layers;
	struct launch_log log;
	struct launch_mount *mounts;
	int fds[6]; /* joined namespaces, shared memory */
};

/* What is enough to find a run again, to read its files, and to remove it: no mounts, no namespaces. Never fails. */
void spec_basic(struct container *c, struct spec *out);
/* What is needed to mount the files of a container that does not run, its volumes and binds with them. */
int spec_files(struct container *c, struct spec *out, struct err *e);
/* Everything that a start needs. On failure there is nothing to clean. */
int spec_full(struct container *c, struct spec *out, struct err *e);
void spec_clean(struct spec *s);

/* The container that a mode "container:X" names, NULL with the reason when it is another mode (e->code 0) or not there.
 */
struct container *spec_joined(struct container *c, const char *field, struct err *e);

#endif
