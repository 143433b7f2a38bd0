/* fill: an operation's message struct from the HTTP request, by its field rows. */
#ifndef POUCH_APID_FILL_H
#define POUCH_APID_FILL_H

#include "apid/head.h"
#include "apid/route.h"
#include "apid/target.h"

/* What a filled message points to beside the request itself. */
struct fill {
	char *texts[16];
	size_t ntexts;
	struct json_t *docs[16];
	size_t ndocs;
};

/*
 * Path, query and header fields into `msg` (initialised by ipc_init()). -EINVAL with status 400, the parameter's name
 * and what was expected; a name that can be no object's name is 404 as Docker words it.
 */
int fill_from_head(const struct route *r, const struct target *t, const struct http_head *h, void *msg,
		   struct fill *fill, struct err *e);

/* The row of the body, NULL for an operation without one; likewise of an upload (W_UPLOAD), a stream (W_STREAM). */
const struct ipc_field *fill_row(const struct ipc_message *m, enum ipc_where where);

/* The JSON body into `msg`. `len` 0: there was none. */
int fill_from_body(const struct ipc_message *m, const struct target *t, const struct http_head *h, const char *text,
		   size_t len, void *msg, struct fill *fill, struct err *e);

/* Keep a document (takes the reference) as long as the message. Returns it. */
struct json_t *fill_keep(struct fill *fill, struct json_t *take_doc);
void fill_clean(struct fill *fill);

/* Docker's reading of a boolean parameter that is there (httputils.BoolValue). */
bool fill_boolean(const char *text);

#endif
