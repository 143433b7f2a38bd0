/* names: POST /images/{name}/tag. */
#include <stdio.h>

#include "imaged/events.h"
#include "imaged/handlers.h"
#include "imaged/records.h"
#include "imaged/verified.h"

void on_image_tag(struct ipc_request *req, struct image_tag *m, struct imaged *d)
{
	AUTO_IMAGE struct image image = {0};
	char full[REFERENCE_TEXT], before[DIGEST_TEXT_SIZE];
	struct reference r;
	struct err e = {0};
	int rc = records_find(d, m->name, &image, NULL, &e);

	if (rc == 0)
		rc = reference_parse(m->repo ? m->repo : "", default_registry(d), &r, &e);
	if (rc == 0 && *r.digest)
		rc = err_http(&e, 400, "refusing to create a tag with a digest reference");
	if (rc == 0 && m->tag && *m->tag)
		snprintf(r.tag, sizeof r.tag, "%s", m->tag);
	if (rc == 0)
		rc = guard_admit_image(req, reference_full(&r, full), false, &e);
	if (rc == 0)
		rc = verified_name(d, full, image.id, &e);
	if (rc == 0)
		rc = store_begin(d->store, &e);
	if (rc == 0) {
		rc = records_put_tag(d, full, image.id, before, &e);
		if (rc == 0)
			rc = store_commit(d->store, &e);
		if (rc < 0)
			store_rollback(d->store);
	}
	if (rc < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	ipc_request_object(req, "image", image.id);
	event_tag(d, image.id, full);
	ipc_reply_json(req, 201, NULL);
}
