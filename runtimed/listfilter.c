#include "runtimed/listfilter.h"

#include <errno.h>

#include "runtimed/health.h"
#include "runtimed/names.h"
#include "runtimed/networks.h"
#include "runtimed/runtimed.h"

static int created_of(struct runtimed *rt, struct ipc_request *req, const char *ref, int64_t *out, struct err *e)
{
	struct container *c = ref ? containers_find(&rt->containers, ref, e) : NULL;

	if (!ref)
		return 0;
	if (!c || !guard_sees(req, c->owner))
		return err_http(e, 404, "No such container: %s", ref);
	*out = c->created;
	return 0;
}

static bool not_a_status(const char *value, void *arg)
{
	(void)arg;
	return container_status_parse(value) < 0 && strcmp(value, "stopped") != 0;
}

static bool not_a_health(const char *value, void *arg)
{
	static const char *const words[] = {"starting", "healthy", "unhealthy", "none"};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i], value) == 0)
			return false;
	return true;
}

static bool not_a_number(const char *value, void *arg)
{
	char *end;

	(void)arg;
	strtol(value, &end, 10);
	return end == value || *end;
}

/* "80", "80/udp", "8000-8100/tcp" */
static bool port_parse(const char *text, unsigned *first, unsigned *last, const char **type)
{
	static const char *const types[] = {"/tcp", "/udp", "/sctp"};
	int n = sscanf(text, "%u-%u", first, last);

	*type = strchr(text, '/') ? strchr(text, '/') : types[0];
	if (n == 1)
		*last = *first;
	for (size_t i = 0; n >= 1 && i < ARRAY_LEN(types); i++)
		if (str_eq(types[i], *type))
			return *first <= *last && *last <= 65535;
	return false;
}

static bool not_a_port(const char *value, void *arg)
{
	unsigned first, last;
	const char *type;

	(void)arg;
	return !port_parse(value, &first, &last, &type);
}

static bool not_a_truth(const char *value, void *arg)
{
	static const char *const words[] = {"true", "false", "1", "0"};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i], value) == 0)
			return false;
	return true;
}

static int check_values(const struct filters *w, struct err *e)
{
	static const struct {
		const char *key;
		bool (*wrong)(const char *value, void *arg);
		const char *want;
	} rules[] = {
		{"status", not_a_status, "created, restarting, running, removing, paused, exited or dead"},
		{"health", not_a_health, "starting, healthy, unhealthy or none"},
		{"exited", not_a_number, "an exit code"},
		{"expose", not_a_port, "port[-port][/tcp|/udp|/sctp]"},
		{"publish", not_a_port, "port[-port][/tcp|/udp|/sctp]"},
		{"is-task", not_a_truth, "true or false"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (filters_has(w, rules[i].key) && filters_any(w, rules[i].key, rules[i].wrong, NULL))
			return err_http(e, 400, "invalid filter '%s': want %s", rules[i].key, rules[i].want);
	return 0;
}

int list_filter_read(struct list_filter *f, struct runtimed *rt, struct ipc_request *req, json_t *doc, struct err *e)
{
	*f = (struct list_filter){.filters = {.keys = doc}};
	const struct filters *w = &f->filters;

	int rc = check_values(w, e);
	if (rc < 0)
		return rc;
	f->reaches_stopped = filters_has(w, "status") || filters_has(w, "exited") || filters_has(w, "before") ||
			     filters_has(w, "since");
	rc = created_of(rt, req, filters_first(w, "before"), &f->before, e);
	return rc == 0 ? created_of(rt, req, filters_first(w, "since"), &f->since, e) : rc;
}

static bool match_status(const char *value, void *arg)
{
	const struct container *c = arg;

	if (strcmp(value, "stopped") == 0)
		return c->state.status == CT_EXITED && c->state.stopped_by_user;
	return strcmp(value, container_status_name(c->state.status)) == 0;
}

static bool match_id(const char *value, void *arg)
{
	const struct container *c = arg;

	return str_starts(c->id, value);
}

static bool match_exited(const char *value, void *arg)
{
	const struct container *c = arg;

	return c->state.status == CT_EXITED && c->state.finished && atoi(value) == c->state.exit_code;
}

static bool match_volume(const char *value, void *arg)
{
	const struct container *c = arg;
	json_t *m;
	size_t i;

	json_array_foreach(c->mounts, i, m)
		if (str_eq(value, json_text(m, "Name")) || str_eq(value, json_text(m, "Source")) ||
		    str_eq(value, json_text(m, "Destination")))
			return true;
	return false;
}

static bool match_network(const char *value, void *arg)
{
	const struct container *c = arg;
	json_t *listed = networks_listed(c), *all = json_object_get(listed, "Networks"), *v;
	bool found = json_object_get(all, value) != NULL;
	const char *name;

	json_object_foreach(all, name, v)
		found = found || str_eq(value, json_text(v, "NetworkID"));
	json_decref(listed);
	return found;
}

/* Of "80/tcp", as a port is written in a document. */
static bool port_fits(const char *wanted, const char *port)
{
	const char *type = "", *own = strchr(port, '/');
	unsigned first = 0, last = 0, number = (unsigned)atoi(port);

	return port_parse(wanted, &first, &last, &type) && str_eq(type, own ? own : "/tcp") && number >= first &&
	       number <= last;
}

static bool match_ports(const char *wanted, const json_t *ports)
{
	const char *port;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)ports, port, v)
		if (port_fits(wanted, port))
			return true;
	return false;
}

static bool match_expose(const char *value, void *arg)
{
	const struct container *c = arg;

	return match_ports(value, json_object_get(c->config, "ExposedPorts"));
}

/* Of a container that does not run: by the ports that it asks for. */
static bool match_wanted(const char *value, const struct container *c)
{
	const char *inside;
	json_t *bindings, *binding;
	size_t i;

	json_object_foreach(json_object_get(c->host, "PortBindings"), inside, bindings) {
		const char *type = strchr(inside, '/');
		json_array_foreach(bindings, i, binding) {
			const char *port = json_text(binding, "HostPort");
			AUTO_FREE char *text = xasprintf("%s%s", port ? port : "", type ? type : "/tcp");
			if (port && *port && port_fits(value, text))
				return true;
		}
	}
	return false;
}

/* By the host's port, as Docker has it. */
static bool match_publish(const char *value, void *arg)
{
	json_t *ports = networks_ports_listed(arg), *port;
	bool found = !container_alive(arg) && match_wanted(value, arg);
	size_t i;

	json_array_foreach(ports, i, port) {
		char text[32];
		snprintf(text, sizeof text, "%d/%s", (int)json_int(port, "PublicPort"), json_text(port, "Type"));
		found = found || (json_object_get(port, "PublicPort") && port_fits(value, text));
	}
	json_decref(ports);
	return found;
}

static bool match_false(const char *value, void *arg)
{
	(void)arg;
	return strcmp(value, "false") == 0 || strcmp(value, "0") == 0;
}

static bool match_default(const char *value, void *arg)
{
	(void)arg;
	return strcmp(value, "default") == 0;
}

bool list_filter_match(const struct list_filter *f, struct container *c)
{
	static const struct {
		const char *key;
		bool (*match)(const char *value, void *arg);
	} matches[] = {
		{"status", match_status},   {"id", match_id},		{"exited", match_exited},
		{"volume", match_volume},   {"network", match_network}, {"expose", match_expose},
		{"publish", match_publish}, {"is-task", match_false},	{"isolation", match_default},
	};
	const struct filters *w = &f->filters;

	if (!w->keys)
		return true;
	if ((f->before && c->created >= f->before) || (f->since && c->created <= f->since) ||
	    (f->images && !json_object_get(f->images, c->image)))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(matches); i++)
		if (!filters_any(w, matches[i].key, matches[i].match, c))
			return false;
	AUTO_FREE char *slashed = xasprintf("/%s", c->name);
	return (filters_pattern(w, "name", c->name) || filters_pattern(w, "name", slashed)) &&
	       filters_exact(w, "health", health_status(c)) &&
	       filters_labels(w, "label", json_object_get(c->config, "Labels")) &&
	       filters_labels(w, "label!", json_object_get(c->config, "Labels"));
}
