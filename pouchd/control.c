/* What `pouchd ctl` and apid ask the supervisor: <run>/ipc/pouchd.sock, root's and apid's alone. */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "ipc/server.h"
#include "lib/config.h"
#include "lib/fd.h"
#include "lib/times.h"
#include "lib/util.h"
#include "lib/version.h"
#include "pouchd/supervisor.h"

/* Proportional set size in bytes (proc_pid_smaps_rollup(5)); 0 when it cannot be read. */
static json_int_t pss(pid_t pid)
{
	char path[64];
	AUTO_FREE char *text = NULL;
	size_t len;

	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fd_read_file(fd, 65536, &text, &len, NULL) < 0)
		return 0;
	const char *line = strstr(text, "\nPss:");
	return line ? strtoll(line + 5, NULL, 10) * 1024 : 0;
}

static json_t *last_exit(const struct service *v)
{
	if (!v->exited)
		return json_null();
	if (WIFSIGNALED(v->last_exit))
		return json_pack("{s:i}", "Signal", WTERMSIG(v->last_exit));
	return json_pack("{s:i}", "Status", WEXITSTATUS(v->last_exit));
}

static json_t *service_json(const struct service *v, bool memory)
{
	json_int_t up = v->state == SERVICE_READY ? monotonic_ms() - v->ready_ms : 0;
	json_t *report = v->report ? json_loads(v->report, 0, NULL) : NULL;
	json_t *o = json_pack("{s:s, s:s, s:s, s:i, s:I, s:I, s:o}", "Name", process_name(v->id), "Owns",
			      process_owns(v->id), "State", service_state_name(v->state), "Pid", (int)v->pid,
			      "UptimeMs", up, "Restarts", (json_int_t)v->restarts, "LastExit", last_exit(v));

	if (memory && v->pid)
		json_object_set_new(o, "Pss", json_integer(pss(v->pid)));
	if (report)
		json_object_set(o, "Sandbox", json_object_get(report, "Sandbox"));
	json_decref(report);
	return o;
}

static json_t *kind_json(const struct supervisor *s, const struct worker_kind *k, bool memory)
{
	json_int_t bytes = 0;

	for (size_t i = 0; memory && i < s->nworkers; i++)
		if (s->workers[i].kind == k)
			bytes += pss(s->workers[i].pid);
	json_t *o = json_pack("{s:s, s:s, s:b, s:I, s:I, s:I}", "Name", process_name(k->id), "Owns",
			      process_owns(k->id), "Present", k->present, "Running", (json_int_t)k->running, "Started",
			      (json_int_t)k->spawned, "Failed", (json_int_t)k->failed);
	if (memory)
		json_object_set_new(o, "Pss", json_integer(bytes));
	return o;
}

static json_t *state_json(const struct supervisor *s, bool memory)
{
	static const char *const states[] = {"starting", "ready", "stopping"};
	json_t *services = json_array(), *workers = json_array();

	for (size_t i = 0; i < SERVICES; i++)
		json_array_append_new(services, service_json(&s->services[i], memory));
	for (size_t i = 0; i < WORKER_KINDS; i++)
		if (s->kinds[i].sup)
			json_array_append_new(workers, kind_json(s, &s->kinds[i], memory));
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:I, s:o, s:o}", "Version", pouch_version, "Commit",
			      pouch_commit, "Root", s->args.root, "Run", s->args.run, "State", states[s->state], "Pid",
			      (int)getpid(), "UptimeMs", (json_int_t)(monotonic_ms() - s->started_ms), "Services",
			      services, "Workers", workers);
	json_object_set_new(o, "Config", s->args.config ? json_string(s->args.config) : json_null());
	json_object_set_new(o, "Policy", json_string(s->config->policy_path));
	json_object_set_new(o, "Socket", json_string(config_api_socket(s->config) ? config_api_socket(s->config) : ""));
	if (memory)
		json_object_set_new(o, "Pss", json_integer(pss(getpid())));
	return o;
}

static void on_supervisor_status(struct ipc_request *req, struct supervisor_status *m, struct supervisor *s)
{
	/* apid has no business with the time that memory takes. */
	json_t *state = state_json(s, m->memory && ipc_request_sender(req) == PROC_pouchd);
	struct supervisor_state reply = {.state.json = state};

	ipc_reply(req, &reply);
	json_decref(state);
}

static void on_supervisor_restart(struct ipc_request *req, struct supervisor_restart *m, struct supervisor *s)
{
	struct service *v = service_by_name(s, m->name);

	if (!v)
		ipc_fail(req, 404, "there is no service %s", m->name);
	else if (s->state != ENGINE_READY)
		ipc_fail(req, 409, "the engine is not ready");
	else if (v->restart_request)
		ipc_fail(req, 409, "%s is being restarted", m->name);
	else {
		v->restart_request = req;
		service_restart(v);
	}
}

static void on_supervisor_reload(struct ipc_request *req, struct supervisor_reload *m, struct supervisor *s)
{
	(void)m;
	reload_start(s, req);
}

static const struct ipc_handler handlers[] = {
	IPC_HANDLER(supervisor_status, struct supervisor),
	IPC_HANDLER(supervisor_restart, struct supervisor),
	IPC_HANDLER(supervisor_reload, struct supervisor),
};

int control_init(struct supervisor *s, struct err *e)
{
	struct ipc_server_config config = {.self = PROC_pouchd,
					   .ids_base = s->config->ids_base,
					   .handlers = handlers,
					   .nhandlers = ARRAY_LEN(handlers),
					   .daemon = s,
					   .proc_fd = -1,
					   .max_requests = 16};

	s->control_fd = socket_ipc(s->args.run, PROC_pouchd, true, e);
	if (s->control_fd < 0)
		return s->control_fd;
	config.listen_fd = s->control_fd;
	return ipc_server_new(s->base, &config, &s->control, e);
}
