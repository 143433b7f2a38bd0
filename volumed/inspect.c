/* inspect: GET /volumes/{name}. Of a plugin's volume the plugin knows more than the record: place, status, scope. */
#include <stdlib.h>

#include "lib/log.h"
#include "lib/util.h"
#include "volumed/plugin.h"
#include "volumed/volumed.h"

struct inspection {
	struct volumed *d;
	struct ipc_request *req;
	char *driver;
	json_t *shown;
};

static void answer(struct inspection *i)
{
	ipc_reply_json(i->req, 200, i->shown);
	free(i->driver);
	free(i);
}

/* A plugin that does not know the question has volumes of this host; so does one that answers it wrong. */
static void on_capabilities(void *arg, const json_t *capabilities, const struct err *e)
{
	struct inspection *i = arg;
	const char *scope = json_string_value(json_object_get(json_object_get(capabilities, "Capabilities"), "Scope"));

	(void)e;
	if (scope && str_eq(scope, "global"))
		json_object_set_new(i->shown, "Scope", json_string("global"));
	answer(i);
}

/* Who does not answer costs the volume its status, not the client what the engine knows. */
static void on_got(void *arg, const json_t *got, const struct err *e)
{
	struct inspection *i = arg;
	json_t *volume = json_object_get(got, "Volume");
	json_t *mountpoint = json_object_get(volume, "Mountpoint"), *status = json_object_get(volume, "Status");

	if (e) {
		log_warn("%s", e->text);
		answer(i);
		return;
	}
	if (json_string_length(mountpoint))
		json_object_set(i->shown, "Mountpoint", mountpoint);
	if (json_is_object(status))
		json_object_set(i->shown, "Status", status);
	plugin_call(i->d->daemon.base, i->d->daemon.config, i->driver, "VolumeDriver.Capabilities", json_object(),
		    on_capabilities, i);
}

void on_volume_inspect(struct ipc_request *req, struct volume_inspect *m, struct volumed *d)
{
	struct volume *v = volume_for(d, req, m->name);

	if (!v)
		return;
	if (str_eq(v->driver, VOLUME_LOCAL)) {
		ipc_reply_json(req, 200, volume_json(d, v));
		return;
	}
	struct inspection *i = XNEW(struct inspection);
	*i = (struct inspection){d, req, xstrdup(v->driver), volume_json(d, v)};
	plugin_call(d->daemon.base, d->daemon.config, i->driver, "VolumeDriver.Get",
		    json_pack("{s:s}", "Name", v->name), on_got, i);
}
