/*
 * descend: what was made from an image: by commit, which its record says, or elsewhere, which its layers say: all those
 * of the image and more.
 */
#include "imaged/handlers.h"
#include "imaged/records.h"

static int id_row(void *arg, struct store_row *r)
{
	json_object_set_new(arg, store_text(r, 0), json_true());
	return 0;
}

/* `id`, and what comes from it. */
static int add_family(struct imaged *d, const char *id, json_t *out, struct err *e)
{
	return store_query(d->store, id_row, out, e,
			   "WITH RECURSIVE family (id) AS (SELECT ?1 UNION"
			   "  SELECT image.id FROM image JOIN family ON image.parent = family.id)"
			   " SELECT id FROM family UNION"
			   " SELECT other.image FROM image_layer own JOIN image_layer other"
			   "  ON other.diff_id = own.diff_id AND other.position = own.position"
			   "  WHERE own.image = ?1 GROUP BY other.image"
			   "  HAVING count(*) = (SELECT count(*) FROM image_layer WHERE image = ?1)"
			   "  AND count(*) < (SELECT count(*) FROM image_layer whole WHERE whole.image = other.image)",
			   "t", id);
}

void on_image_descendants(struct ipc_request *req, struct image_descendants *m, struct imaged *d)
{
	struct images_descended reply = {.images.json = json_object()};
	struct err e = {0};
	json_t *name;
	size_t i;
	int rc = 0;

	json_array_foreach(m->images.json, i, name) {
		AUTO_IMAGE struct image image = {0};
		if (rc == 0 && json_is_string(name) &&
		    records_find(d, json_string_value(name), &image, NULL, NULL) == 0)
			rc = add_family(d, image.id, reply.images.json, &e);
	}
	if (rc < 0)
		ipc_reply_error(req, &e);
	else
		ipc_reply(req, &reply);
	json_decref(reply.images.json);
}
