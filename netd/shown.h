/* shown: networks and containers' places in them as clients see them. */
#ifndef POUCH_NETD_SHOWN_H
#define POUCH_NETD_SHOWN_H

#include "netd/network.h"

/* Docker's Network object; `containers`: with who is on it. */
json_t *network_json(const struct network *n, bool containers);
/* EndpointSettings with the real values. `ep` NULL: only what was asked for, of a container that does not run. */
json_t *endpoint_json(const struct network *n, const struct endpoint *ep, const json_t *asked, const char *name,
		      const char *container);
/* NetworkSettings. */
json_t *attachment_json(const struct attachment *a);

#endif
