#include "runtimed/mounts.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "ipc/grammar.h"
#include "runtimed/bind.h"
#include "runtimed/names.h"
#include "runtimed/runtimed.h"

struct reading {
	struct container *c;
	struct ipc_request *req;
	json_t *warnings;
};

/* A mount at the same place takes that place. */
static void put(struct container *c, json_t *take_mount)
{
	const char *destination = json_text(take_mount, "Destination");
	json_t *m;
	size_t i;

	json_array_foreach(c->mounts, i, m) {
		if (str_eq(json_text(m, "Destination"), destination)) {
			json_array_set_new(c->mounts, i, take_mount);
			return;
		}
	}
	json_array_append_new(c->mounts, take_mount);
}

static bool taken(const struct container *c, const char *destination)
{
	json_t *m;
	size_t i;

	json_array_foreach(c->mounts, i, m)
		if (str_eq(json_text(m, "Destination"), destination))
			return true;
	return json_object_get(json_object_get(c->host, "Tmpfs"), destination) != NULL;
}

static int check_destination(const char *destination, struct err *e)
{
	if (!destination || *destination != '/')
		return err_http(e, 400, "invalid mount config: invalid mount path: '%s' mount path must be absolute",
				destination ? destination : "");
	if (str_eq(destination, "/"))
		return err_http(e, 400, "invalid mount config: destination can't be '/'");
	return 0;
}

/* ---- volumes from other containers ---- */

static int read_from(struct reading *r, const char *from, struct err *e)
{
	const char *colon = strrchr(from, ':');
	bool read_only = colon && str_eq(colon, ":ro");
	json_t *m, *copy;
	size_t i;

	if (colon && !read_only && !str_eq(colon, ":rw") && !str_eq(colon, ":z") && !str_eq(colon, ":Z"))
		return err_http(e, 400, "VolumesFrom: invalid mode in \"%s\"", from);
	AUTO_FREE char *name = colon ? xstrndup(from, (size_t)(colon - from)) : xstrdup(from);
	struct container *x = containers_find(&r->c->rt->containers, name, e);
	if (!x || !guard_sees(r->req, x->owner))
		return err_http(e, 404, "No such container: %s", name);
	json_array_foreach(x->mounts, i, m) {
		if (str_eq(json_text(m, "Type"), "tmpfs"))
			continue;
		copy = json_deep_copy(m);
		json_object_set_new(json_object_get(copy, "_"), "nocopy", json_true());
		if (read_only)
			json_object_set_new(copy, "RW", json_false());
		int rc = str_eq(json_text(copy, "Type"), "bind") ? bind_admit(r->req, copy, e) : 0;
		if (rc < 0) {
			json_decref(copy);
			return rc;
		}
		put(r->c, copy);
	}
	return 0;
}

/* ---- Binds, Mounts, Volumes ---- */

static int check_volume_name(const json_t *m, struct err *e)
{
	const char *name = json_text(m, "Name");

	if (!str_eq(json_text(m, "Type"), "volume") || !name || grammar_check(G_VOLUME_NAME, name, strlen(name)))
		return 0;
	return err_http(e, 400,
			"create %s: \"%s\" includes invalid characters for a local volume name, only "
			"\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use "
			"absolute path",
			name, name);
}

static int read_bind(struct reading *r, const char *text, struct err *e)
{
	json_t *m = NULL;
	int rc = bind_parse(text, &m, e);

	if (rc == 0)
		rc = check_volume_name(m, e);
	if (rc == 0)
		rc = check_destination(json_text(m, "Destination"), e);
	if (rc == 0 && str_eq(json_text(m, "Type"), "volume") && json_text(r->c->host, "VolumeDriver"))
		json_object_set(m, "Driver", json_object_get(r->c->host, "VolumeDriver"));
	if (rc == 0 && str_eq(json_text(m, "Type"), "bind"))
		rc = bind_admit(r->req, m, e);
	if (rc < 0)
		json_decref(m);
	else
		put(r->c, m);
	return rc;
}

static json_t *volume_point(const json_t *mount)
{
	const json_t *options = json_object_get(mount, "VolumeOptions"),
		     *driver = json_object_get(options, "DriverConfig");
	json_t *extra = json_object(), *m;

	json_object_set_new(extra, "nocopy", json_boolean(json_true_at(options, "NoCopy")));
	json_object_set_new(extra, "recursive", json_true());
	if (json_object_get(options, "Labels"))
		json_object_set(extra, "labels", json_object_get(options, "Labels"));
	if (json_object_get(driver, "Options"))
		json_object_set(extra, "options", json_object_get(driver, "Options"));
	if (json_object_get(options, "Subpath"))
		json_object_set(extra, "subpath", json_object_get(options, "Subpath"));
	m = json_pack("{s:s s:s s:s s:s s:s s:s s:b s:s s:o}", "Type", "volume", "Name",
		      json_text(mount, "Source") ? json_text(mount, "Source") : "", "Source", "", "Destination",
		      json_text(mount, "Target"), "Driver", json_text(driver, "Name") ? json_text(driver, "Name") : "",
		      "Mode", "z", "RW", !json_true_at(mount, "ReadOnly"), "Propagation", "", "_", extra);
	return m;
}

static int read_mount(struct reading *r, const json_t *mount, struct err *e)
{
	const char *type = json_text(mount, "Type"), *source = json_text(mount, "Source");
	json_t *m = NULL;
	int rc = check_destination(json_text(mount, "Target"), e);

	if (rc < 0)
		return rc;
	if (str_eq(type, "bind")) {
		rc = bind_from_mount(mount, &m, e);
		if (rc == 0)
			rc = bind_admit(r->req, m, e);
	} else if (str_eq(type, "volume")) {
		m = volume_point(mount);
		rc = check_volume_name(m, e);
	} else if (str_eq(type, "tmpfs")) {
		if (source && *source)
			return err_http(e, 400,
					"invalid mount config for type \"tmpfs\": source must not be specified");
		m = json_pack("{s:s s:s s:s s:s s:b s:s s:{}}", "Type", "tmpfs", "Source", "", "Destination",
			      json_text(mount, "Target"), "Mode", "", "RW", !json_true_at(mount, "ReadOnly"),
			      "Propagation", "", "_");
	} else {
		return err_http(e, 400, "invalid mount config: mount type \"%s\" is not supported on Linux", type);
	}
	if (rc == 0) {
		AUTO_FREE char *target = launch_clean_target(json_text(mount, "Target"));
		json_object_set_new(m, "Destination", json_string(target));
	}
	if (rc == 0 && taken(r->c, json_text(m, "Destination")))
		rc = err_http(e, 400, "Duplicate mount point: %s", json_text(mount, "Target"));
	if (rc < 0)
		json_decref(m);
	else
		put(r->c, m);
	return rc;
}

static int check_duplicates(const json_t *binds, struct err *e)
{
	json_t *seen = json_object(), *v;
	size_t i;
	int rc = 0;

	json_array_foreach(binds, i, v) {
		json_t *m = NULL;
		if (bind_parse(json_string_value(v), &m, NULL) < 0)
			continue; /* told later */
		const char *destination = json_text(m, "Destination");
		if (rc == 0 && json_object_get(seen, destination))
			rc = err_http(e, 400, "Duplicate mount point: %s", destination);
		json_object_set_new(seen, destination, json_true());
		json_decref(m);
	}
	json_decref(seen);
	return rc;
}

int mounts_read(struct container *c, struct ipc_request *req, json_t *warnings, struct err *e)
{
	struct reading r = {c, req, warnings};
	json_t *binds = json_object_get(c->host, "Binds"), *v;
	const char *path;
	size_t i;

	c->mounts = json_array();
	int rc = check_duplicates(binds, e);
	json_object_foreach(json_object_get(c->host, "Tmpfs"), path, v)
		if (rc == 0)
			rc = check_destination(path, e);
	json_array_foreach(json_object_get(c->host, "VolumesFrom"), i, v)
		if (rc == 0)
			rc = read_from(&r, json_string_value(v), e);
	json_array_foreach(binds, i, v)
		if (rc == 0)
			rc = read_bind(&r, json_string_value(v), e);
	json_array_foreach(json_object_get(c->host, "Mounts"), i, v)
		if (rc == 0)
			rc = read_mount(&r, v, e);
	json_object_foreach(json_object_get(c->config, "Volumes"), path, v) {
		AUTO_FREE char *target = launch_clean_target(path);
		if (rc == 0)
			rc = check_destination(path, e);
		if (rc < 0 || taken(c, target))
			continue;
		json_t *mount = json_pack("{s:s}", "Target", target);
		json_t *m = volume_point(mount);
		if (json_text(c->host, "VolumeDriver"))
			json_object_set(m, "Driver", json_object_get(c->host, "VolumeDriver"));
		put(c, m);
		json_decref(mount);
	}
	return rc;
}

/* ---- at a start ---- */

static struct launch_mount described(const json_t *m)
{
	const json_t *extra = json_object_get(m, "_");

	return (struct launch_mount){
		.destination = json_text(m, "Destination"),
		.source = -1,
		.read_only = !json_true_at(m, "RW"),
		.top_only = json_true_at(extra, "top_only"),
		.recursive = json_true_at(extra, "recursive"),
		.propagation = bind_propagation(json_text(m, "Propagation")),
		.plain = json_true_at(extra, "plain"),
		.name = json_text(m, "Source"),
	};
}

static int open_one(const json_t *m, struct launch_mount *out, struct err *e)
{
	*out = described(m);
	out->source = str_eq(json_text(m, "Type"), "bind") ? bind_open(m, e) : volume_open(m, e);
	return out->source < 0 ? out->source : 0;
}

static int check_one(struct container *c, json_t *m, const struct launch_ids *ids, json_t *warnings, struct err *e)
{
	struct launch_mount look = described(m);
	AUTO_CLOSE int source = -1;

	/* A volume is there when it is used; volumed's own can be idmapped. */
	if (str_eq(json_text(m, "Type"), "bind") && (source = bind_open(m, e)) < 0)
		return source;
	look.source = source;
	int rc = launch_check_mount(ids, &look, e);
	if (rc != -EOPNOTSUPP || c->rt->d.config->userns_bind_fallback != BIND_PLAIN)
		return rc;
	json_object_set_new(json_object_get(m, "_"), "plain", json_true());
	json_array_append_new(warnings, json_sprintf("%s: it is bound with the ids of the host", e->text));
	return 0;
}

int mounts_check(struct container *c, const struct launch_ids *ids, json_t *warnings, struct err *e)
{
	json_t *m;
	size_t i;
	int rc = 0;

	json_array_foreach(c->mounts, i, m)
		if (rc == 0)
			rc = check_one(c, m, ids, warnings, e);
	return rc;
}

int mounts_open(struct container *c, struct launch_mount **out, size_t *n, struct err *e)
{
	json_t *m;
	size_t i;

	*out = xcalloc(json_array_size(c->mounts) + 1, sizeof **out);
	*n = 0;
	json_array_foreach(c->mounts, i, m) {
		if (str_eq(json_text(m, "Type"), "tmpfs"))
			continue;
		int rc = open_one(m, &(*out)[*n], e);
		if (rc < 0)
			return rc; /* spec_clean() closes what is open */
		(*n)++;
	}
	return 0;
}

void mounts_close(struct launch_mount *mounts, size_t n)
{
	for (size_t i = 0; mounts && i < n; i++) {
		int fd = mounts[i].source;
		fd_close(&fd);
	}
	free(mounts);
}

json_t *mounts_shown(const struct container *c)
{
	json_t *all = json_array(), *m;
	size_t i;

	json_array_foreach(c->mounts, i, m) {
		json_t *shown = json_copy(m);
		json_object_del(shown, "_");
		json_array_append_new(all, shown);
	}
	return all;
}
