/*
 * route: which operation a method and path mean. The table is made from the OP rows of ipc/messages.def and, for
 * what this engine has no operation for but Docker's API names, from apid/refused.def.
 */
#ifndef POUCH_APID_ROUTE_H
#define POUCH_APID_ROUTE_H

#include "apid/target.h"
#include "ipc/message.h"

#define ROUTE_SEGMENTS_MAX 8

struct route_segment {
	const char *text; /* literal, or the name of the parameter */
	size_t len;
	enum { SEG_LITERAL, SEG_ONE, SEG_MORE } kind;
};

struct route {
	const char *method, *pattern;
	unsigned since, until;		   /* of API 1.x */
	const struct ipc_message *message; /* NULL for refused.def */
	int status;			   /* refused.def: the answer */
	const char *text;		   /* its message, or JSON when status is 200 */
	struct route_segment segments[ROUTE_SEGMENTS_MAX];
	size_t nsegments;
	size_t index;	    /* its place among route_all() */
	struct route *same; /* the next that begins with the same segment */
};

/* To be called once before anything else here. */
void routes_init(void);
const struct route *route_all(size_t *count);

/*
 * The route of a request. HEAD is served by GET's route where that answers at once. NULL: e says 404, or 405 and then
 * `allow` (of `size` bytes) is the value of the Allow header.
 */
const struct route *route_find(const char *method, const struct target *t, char *allow, size_t size, struct err *e);

/*
 * The value of the path parameter `name`: in the target's text, or in *joined (the caller frees) when it spans
 * several segments.
 */
const char *route_param(const struct route *r, const struct target *t, const char *name, char **joined);

#endif
