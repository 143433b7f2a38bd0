#include "imaged/events.h"

#include "imaged/records.h"
#include "lib/log.h"

static void published(void *arg, void *reply, const struct err *e)
{
	(void)arg;
	(void)reply;
	if (e)
		log_warn("an event was not taken: %s", e->text);
}

static const struct ipc_call_events publish_events = {.done = published};

void event_image(struct imaged *d, const char *action, const char *id, const char *name)
{
	struct event_publish m;
	struct err e = {0};
	json_t *attributes = json_object();
	AUTO_IMAGE struct image image = {0};

	if (records_image(d, id, &image, NULL) == 0) {
		json_t *labels = json_loads(image.labels, 0, NULL);
		json_object_update(attributes, labels);
		json_decref(labels);
	}
	if (name)
		json_object_set_new(attributes, "name", json_string(name));
	ipc_init(IPC_event_publish, &m);
	m.type = "image";
	m.action = action;
	m.id = str_eq(action, "pull") || str_eq(action, "push") ? (name ? name : id) : id;
	m.attributes.json = attributes;
	m.time = (uint64_t)records_now();
	if (d->runtimed && !ipc_call(d->runtimed, IPC_event_publish, &m,
				     &(struct ipc_call_options){.deadline_ms = 60000}, &publish_events, NULL, &e))
		log_warn("an event was not sent: %s", e.text);
	json_decref(attributes);
}
