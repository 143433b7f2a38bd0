/* update: POST /containers/{id}/update: limits and restart policy, in the record and in the running container. */
#include <errno.h>

#include "lib/json.h"
#include "lib/log.h"
#include "runtimed/db.h"
#include "runtimed/events.h"
#include "runtimed/hostconfig.h"
#include "runtimed/restart.h"
#include "runtimed/run.h"
#include "runtimed/runtimed.h"
#include "runtimed/spec.h"

/* What an update may change; the rest of Resources is part of how a container is made, and waits for its next start. */
static const struct {
	const char *field;
	bool live;
} fields[] = {
	{"CpuShares", true},
	{"Memory", true},
	{"CgroupParent", false},
	{"BlkioWeight", true},
	{"BlkioWeightDevice", true},
	{"BlkioDeviceReadBps", true},
	{"BlkioDeviceWriteBps", true},
	{"BlkioDeviceReadIOps", true},
	{"BlkioDeviceWriteIOps", true},
	{"CpuPeriod", true},
	{"CpuQuota", true},
	{"CpuRealtimePeriod", true},
	{"CpuRealtimeRuntime", true},
	{"CpusetCpus", true},
	{"CpusetMems", true},
	{"Devices", false},
	{"DeviceCgroupRules", false},
	{"DeviceRequests", false},
	{"MemoryReservation", true},
	{"MemorySwap", true},
	{"MemorySwappiness", true},
	{"NanoCpus", true},
	{"OomKillDisable", true},
	{"Init", false},
	{"PidsLimit", true},
	{"Ulimits", false},
};

/* 0, "" and [] change nothing, as clients send them for what was not asked; PidsLimit, whose 0 is "no limit", is theirs
 * only when asked. */
static bool asks(const char *field, const json_t *v)
{
	if (!v)
		return false;
	if (json_is_integer(v))
		return json_integer_value(v) != 0 || str_eq(field, "PidsLimit") || str_eq(field, "MemorySwappiness");
	return json_is_boolean(v) || json_string_length(v) || json_array_size(v);
}

/* Swap follows memory while it is what nobody asked for: twice the memory. */
static int merge_swap(json_t *host, const json_t *body, struct err *e)
{
	int64_t old = json_int(host, "Memory"), swap = json_int(host, "MemorySwap"), memory = json_int(body, "Memory");

	if (!memory || json_int(body, "MemorySwap"))
		return 0;
	if (swap == 0 || (swap == old * 2 && memory > swap))
		json_object_del(host, "MemorySwap");
	else if (swap > 0 && memory > swap)
		return err_http(e, 400,
				"Memory limit should be smaller than already set memoryswap limit, update the "
				"memoryswap at the same time");
	return 0;
}

/* NanoCpus and CpuQuota in CpuPeriod say the same thing: the later one counts. */
static void merge_cpus(json_t *host, const json_t *body)
{
	if (json_int(body, "NanoCpus")) {
		json_object_del(host, "CpuQuota");
		json_object_del(host, "CpuPeriod");
	} else if (json_int(body, "CpuQuota") || json_int(body, "CpuPeriod")) {
		json_object_del(host, "NanoCpus");
	}
}

static int merge_policy(const struct container *c, json_t *host, const json_t *body, struct err *e)
{
	json_t *policy = json_object_get(body, "RestartPolicy");
	const char *name = json_text(policy, "Name");

	if (!name || !*name)
		return 0;
	if (json_true_at(c->host, "AutoRemove") && !str_eq(name, "no"))
		return err_http(e, 409,
				"Restart policy cannot be updated because AutoRemove is enabled for the container");
	json_object_set(host, "RestartPolicy", policy);
	return 0;
}

/* The whole new HostConfig into `host`, which is a copy of the old one. */
static int merge(const struct container *c, json_t *host, const json_t *body, struct err *e)
{
	int rc = merge_swap(host, body, e);

	if (rc == 0)
		rc = merge_policy(c, host, body, e);
	if (rc < 0)
		return rc;
	merge_cpus(host, body);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		json_t *v = json_object_get(body, fields[i].field);
		if (!asks(fields[i].field, v))
			continue;
		if (!fields[i].live && container_running(c))
			return err_http(e, 409, "%s cannot be changed while the container runs", fields[i].field);
		/* In the record 0 is the engine's default, as the docker CLI sends it at create. */
		if (str_eq(fields[i].field, "PidsLimit") && json_integer_value(v) == 0)
			json_object_set_new(host, fields[i].field, json_integer(-1));
		else
			json_object_set(host, fields[i].field, v);
	}
	return 0;
}

/* As at its creation; of a running one only limits change. */
static int check(struct container *c, json_t *host, json_t *warnings, struct err *e)
{
	struct spec spec;

	if (container_running(c))
		return launch_check_limits(host, warnings, e);
	spec_basic(c, &spec);
	spec.launch.host = host;
	int rc = launch_check(c->rt->launch, &spec.launch, warnings, e);
	spec_clean(&spec);
	return rc;
}

static int apply(struct container *c, json_t *host, struct err *e)
{
	json_t *old = c->host;
	bool live = container_alive(c) && c->run;
	int rc = live ? launch_update(c->run, old, host, e) : 0;

	if (rc < 0)
		return rc;
	c->host = host;
	rc = db_update(c, e);
	if (rc == 0) {
		json_decref(old);
		return 0;
	}
	/* What cannot be remembered does not hold. */
	struct err back;
	if (live && launch_update(c->run, host, old, &back) < 0)
		log_error("container %.12s: its old limits are not back: %s", c->id, back.text);
	c->host = old;
	return rc;
}

/* CpuQuota and CpuPeriod are one limit: what the body leaves out of it is decided on as it stands. */
static int admit(struct ipc_request *req, const struct container *c, const json_t *body, struct err *e)
{
	static const char *const halves[] = {"CpuQuota", "CpuPeriod"};
	AUTO_JSON json_t *asked = json_copy((json_t *)body);
	bool cpus = json_int(body, halves[0]) || json_int(body, halves[1]);

	for (size_t i = 0; cpus && i < ARRAY_LEN(halves); i++)
		if (!json_int(body, halves[i]) && json_int(c->host, halves[i]))
			json_object_set(asked, halves[i], json_object_get(c->host, halves[i]));
	return guard_admit(req, POLICY_UPDATE, asked, &(struct policy_facts){0}, e);
}

static int update(struct ipc_request *req, struct container *c, const json_t *body, json_t *warnings, struct err *e)
{
	/* Here, and not before a wait: another update may have changed what this one builds on. */
	int rc = admit(req, c, body, e);

	if (rc < 0)
		return rc;
	json_t *host = json_deep_copy(c->host);
	rc = merge(c, host, body, e);

	if (rc == 0)
		rc = resources_check(host, e);
	if (rc == 0)
		rc = restart_policy_check(host, e);
	if (rc == 0)
		rc = check(c, host, warnings, e);
	if (rc == 0)
		rc = apply(c, host, e);
	if (rc < 0) {
		json_decref(host);
		return rc;
	}
	if (!restart_wanted(c))
		run_cancel_restart(c);
	container_changed(c);
	event_container(c, "update", NULL);
	return 0;
}

static void answer(struct ipc_request *req, struct container *c)
{
	const struct container_update *m = ipc_request_msg(req);
	json_t *warnings = json_array();
	struct err e;

	if (c->removing || c->state.status == CT_DEAD)
		ipc_fail(req, 409, "container %s is marked for removal and cannot be updated", c->name);
	else if (update(req, c, m->body.json, warnings, &e) < 0)
		ipc_reply_error(req, &e);
	else
		ipc_reply_json(req, 200, json_pack("{s:O}", "Warnings", warnings));
	json_decref(warnings);
}

struct waiting {
	struct waiter waiter; /* first */
	struct ipc_request *req;
};

static void on_settled(struct waiter *w, struct container *c, uint32_t event)
{
	(void)event;
	answer(((struct waiting *)w)->req, c);
	free(w);
}

void on_container_update(struct ipc_request *req, struct container_update *m, struct runtimed *rt)
{
	struct container *c = request_container(rt, req, m->id);

	if (!c)
		return;
	if (!c->starting) {
		answer(req, c);
		return;
	}
	/* A start in flight has read the old limits. */
	struct waiting *w = XNEW(struct waiting);
	w->req = req;
	container_wait(c, &w->waiter, CE_SETTLED | CE_REMOVED, on_settled);
}
