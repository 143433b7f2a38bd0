#include "imaged/events.h"

#include <inttypes.h>
#include <stdio.h>

#include "imaged/records.h"
#include "lib/log.h"
#include "lib/times.h"

static void published(void *arg, void *reply, const struct err *e)
{
	(void)arg;
	(void)reply;
	if (e)
		log_warn("an event was not taken: %s", e->text);
}

static const struct ipc_call_events publish_events = {.done = published};

static void publish(struct imaged *d, const char *action, const char *actor, json_t *take_attributes)
{
	struct event_publish m;
	struct err e = {0};

	ipc_init(IPC_event_publish, &m);
	m.type = "image";
	m.action = action;
	m.id = actor;
	m.attributes.json = take_attributes;
	m.time = (uint64_t)time_now();
	if (d->runtimed && !ipc_call(d->runtimed, IPC_event_publish, &m,
				     &(struct ipc_call_options){.deadline_ms = 60000}, &publish_events, NULL, &e))
		log_warn("an event was not sent: %s", e.text);
	json_decref(take_attributes);
}

static json_t *attributes_of(struct imaged *d, const char *id, const char *name)
{
	json_t *attributes = json_object();
	AUTO_IMAGE struct image image = {0};

	if (records_image(d, id, &image, NULL) == 0) {
		json_t *labels = json_loads(image.labels, 0, NULL);
		json_object_update(attributes, labels);
		json_decref(labels);
	}
	json_object_set_new(attributes, "name", json_string(name));
	return attributes;
}

void event_image(struct imaged *d, const char *action, const char *id, const char *name)
{
	publish(d, action, id, attributes_of(d, id, name ? name : id));
}

void event_tag(struct imaged *d, const char *id, const char *full)
{
	char shown[REFERENCE_TEXT];

	event_image(d, "tag", id, reference_familiar(full, default_registry(d), shown));
}

void event_transfer(struct imaged *d, const char *action, const char *id, const char *full)
{
	char shown[REFERENCE_TEXT], repository[REFERENCE_TEXT];
	char *at;

	reference_familiar(full, default_registry(d), shown);
	snprintf(repository, sizeof repository, "%s", shown);
	if ((at = strchr(repository, '@')))
		*at = '\0';
	char *slash = strrchr(repository, '/');
	if ((at = strchr(slash ? slash : repository, ':')))
		*at = '\0';
	publish(d, action, shown, attributes_of(d, id, repository));
}

void event_prune(struct imaged *d, int64_t reclaimed)
{
	publish(d, "prune", "", json_pack("{s:o}", "reclaimed", json_sprintf("%" PRId64, reclaimed)));
}
