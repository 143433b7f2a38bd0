/* inspect: GET /volumes/{name}. Of a plugin's volume the plugin knows more than the record: place, status, scope. */
#include <stdlib.h>

#include "lib/log.h"
#include "lib/util.h"
#include "volumed/make.h"
#include "volumed/plugin.h"
#include "volumed/plugins.h"
#include "volumed/volumed.h"

struct inspection {
	struct volumed *d;
	struct ipc_request *req;
	char *driver;
	json_t *shown, *volume; /* what is answered, and what the plugin says */
};

static void inspection_free(struct inspection *i)
{
	json_decref(i->volume);
	free(i->driver);
	free(i);
}

static void answer(struct inspection *i)
{
	ipc_reply_json(i->req, 200, i->shown);
	inspection_free(i);
}

static void no_such(struct inspection *i)
{
	const struct volume_inspect *m = ipc_request_msg(i->req);

	ipc_fail(i->req, 404, "get %s: no such volume", m->name);
	inspection_free(i);
}

/* A plugin that does not know the question has volumes of this host; so does one that answers it wrong. */
static void on_capabilities(void *arg, const json_t *capabilities, const struct err *e)
{
	struct inspection *i = arg;

	(void)e;
	plugins_describe(i->shown, i->volume, plugins_scope(capabilities));
	answer(i);
}

static void ask_capabilities(struct inspection *i)
{
	plugin_call(i->d->daemon.base, i->d->daemon.config, i->driver, "VolumeDriver.Capabilities", 0, json_object(),
		    on_capabilities, i);
}

static void on_path(void *arg, const json_t *got, const struct err *e)
{
	struct inspection *i = arg;
	json_t *path = json_object_get(got, "Mountpoint");

	if (!e && json_is_string(path))
		json_object_set(i->volume, "Mountpoint", path);
	ask_capabilities(i);
}

/* What it said to Get. The place may be known to Path alone. */
static void take_volume(struct inspection *i, json_t *volume)
{
	i->volume = json_incref(volume);
	if (!json_is_object(volume) || json_string_length(json_object_get(volume, "Mountpoint")))
		ask_capabilities(i);
	else
		plugin_call(i->d->daemon.base, i->d->daemon.config, i->driver, "VolumeDriver.Path", 0,
			    json_pack("{s:O}", "Name", json_object_get(i->shown, "Name")), on_path, i);
}

static void on_checked(void *arg, bool lost)
{
	struct inspection *i = arg;

	if (lost) {
		json_decref(i->shown);
		no_such(i);
	} else
		answer(i);
}

/* Who does not answer costs the volume its status, not the client what the engine knows. */
static void on_got(void *arg, const json_t *got, const struct err *e)
{
	struct inspection *i = arg;

	if (e)
		log_warn("%s", e->text);
	if (plugins_denies(got, e))
		volume_check(i->d, json_string_value(json_object_get(i->shown, "Name")), on_checked, i);
	else if (e)
		answer(i);
	else
		take_volume(i, json_object_get(got, "Volume"));
}

static void on_found(void *arg, const char *driver, json_t *volume)
{
	struct inspection *i = arg;
	const struct volume_inspect *m = ipc_request_msg(i->req);

	if (!driver) {
		no_such(i);
		return;
	}
	i->driver = xstrdup(driver);
	i->shown = volume_foreign_json(m->name, driver);
	take_volume(i, volume);
}

void on_volume_inspect(struct ipc_request *req, struct volume_inspect *m, struct volumed *d)
{
	struct volume *v = volume_find(d->volumes, m->name);

	if (v ? !guard_sees(req, v->owner) : !guard_sees_all(req) || !plugins_any(d)) {
		ipc_fail(req, 404, "get %s: no such volume", m->name);
		return;
	}
	if (v && str_eq(v->driver, VOLUME_LOCAL)) {
		ipc_reply_json(req, 200, volume_json(d, v));
		return;
	}
	struct inspection *i = XNEW(struct inspection);
	*i = (struct inspection){.d = d, .req = req};
	if (!v) {
		plugins_find(d, m->name, on_found, i);
		return;
	}
	i->driver = xstrdup(v->driver);
	i->shown = volume_json(d, v);
	plugin_call(d->daemon.base, d->daemon.config, i->driver, "VolumeDriver.Get", 0,
		    json_pack("{s:s}", "Name", v->name), on_got, i);
}
