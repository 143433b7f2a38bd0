#include "apid/metrics.h"

#include <event2/buffer.h>
#include <jansson.h>

#include "apid/apid.h"
#include "apid/stats.h"
#include "lib/util.h"
#include "lib/version.h"

/* ---- one family ---- */

static void family(struct evbuffer *out, const char *name, const char *type, const char *help)
{
	evbuffer_add_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void sample(struct evbuffer *out, const char *name, const char *label, const char *value, double v)
{
	evbuffer_add_printf(out, "%s{%s=\"%s\"} %.15g\n", name, label, value, v);
}

static void gauge(struct evbuffer *out, const char *name, const char *help, double v)
{
	family(out, name, "gauge", help);
	evbuffer_add_printf(out, "%s %.15g\n", name, v);
}

static void histogram(struct evbuffer *out, const char *name, const char *label, const char *value,
		      const struct histogram *h)
{
	uint64_t sum = 0;

	for (size_t b = 0; b < HISTOGRAM_BOUNDS; b++) {
		sum += h->buckets[b];
		evbuffer_add_printf(out, "%s_bucket{%s=\"%s\",le=\"%g\"} %llu\n", name, label, value,
				    (double)histogram_bounds[b] / 1e6, (unsigned long long)sum);
	}
	evbuffer_add_printf(out,
			    "%s_bucket{%s=\"%s\",le=\"+Inf\"} %llu\n%s_sum{%s=\"%s\"} %.6f\n"
			    "%s_count{%s=\"%s\"} %llu\n",
			    name, label, value, (unsigned long long)h->n, name, label, value, (double)h->us / 1e6, name,
			    label, value, (unsigned long long)h->n);
}

/* ---- what apid has counted ---- */

static void write_requests(const struct stats *s, struct evbuffer *out)
{
	const struct stats_row *row;
	const char *name;

	family(out, "pouch_http_requests_total", "counter", "Requests answered, by operation and status.");
	for (size_t i = 0; (row = stats_row(s, i, &name)); i++)
		for (size_t k = 0; k < row->nstatuses; k++)
			evbuffer_add_printf(out, "pouch_http_requests_total{operation=\"%s\",status=\"%u\"} %llu\n",
					    name, row->statuses[k].status, (unsigned long long)row->statuses[k].n);
	family(out, "pouch_http_request_seconds", "histogram",
	       "Time from a request's head to the end of its answer, by operation.");
	for (size_t i = 0; (row = stats_row(s, i, &name)); i++)
		if (row->took.n)
			histogram(out, "pouch_http_request_seconds", "operation", name, &row->took);
}

static void write_ipc(const struct apid *a, struct evbuffer *out)
{
	static const struct {
		const char *name, *type, *help;
		double (*value)(const struct ipc_client *c);
	} rows[] = {
		{"pouch_ipc_connected", "gauge", "Whether apid has a connection to the service.", ipc_client_is_up},
		{"pouch_ipc_calls_in_flight", "gauge", "Calls to the service that it has not ended.", ipc_client_calls},
		{"pouch_ipc_failures_total", "counter",
		 "Calls that ended without the service's answer: not in time, its process ended, too many.",
		 ipc_client_failures},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		family(out, rows[i].name, rows[i].type, rows[i].help);
		for (enum process_id p = PROC_NONE; p < PROC_LIMIT; p++)
			if (a->clients[p])
				sample(out, rows[i].name, "service", process_name(p), rows[i].value(a->clients[p]));
	}
	family(out, "pouch_ipc_seconds", "histogram", "Time from a call to the first of its answer, by service.");
	for (enum process_id p = PROC_NONE; p < PROC_LIMIT; p++)
		if (a->clients[p])
			histogram(out, "pouch_ipc_seconds", "service", process_name(p), ipc_client_took(a->clients[p]));
}

/* ---- what the others have said ---- */

static void write_containers(const json_t *containers, struct evbuffer *out)
{
	static const struct {
		const char *key, *state;
	} states[] = {
		{"ContainersRunning", "running"}, {"ContainersPaused", "paused"}, {"ContainersStopped", "stopped"}};

	family(out, "pouch_containers", "gauge", "Containers, by state.");
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		sample(out, "pouch_containers", "state", states[i].state,
		       json_number_value(json_object_get(containers, states[i].key)));
}

/* A family with one sample an element of a list. */
struct listed {
	const char *name, *type, *help;
	const char *key;
	double scale;
};

static void write_listed(const json_t *list, const char *label, const struct listed *rows, size_t n,
			 struct evbuffer *out)
{
	size_t i;
	json_t *o;

	for (const struct listed *row = rows; row < rows + n; row++) {
		family(out, row->name, row->type, row->help);
		json_array_foreach(list, i, o)
			sample(out, row->name, label, json_string_value(json_object_get(o, "Name")),
			       json_number_value(json_object_get(o, row->key)) * row->scale);
	}
}

static void write_processes(const json_t *supervisor, struct evbuffer *out)
{
	static const struct listed services[] = {
		{"pouch_service_restarts_total", "counter", "Times that a service's process was started again.",
		 "Restarts", 1},
		{"pouch_service_uptime_seconds", "gauge", "Age of a service's process, 0 while it is not ready.",
		 "UptimeMs", 1e-3},
	};
	static const struct listed workers[] = {
		{"pouch_workers", "gauge", "Workers at work, by kind.", "Running", 1},
		{"pouch_workers_started_total", "counter", "Workers started, by kind.", "Started", 1},
		{"pouch_workers_failed_total", "counter", "Workers that ended with a failure, by kind.", "Failed", 1},
	};

	write_listed(json_object_get(supervisor, "Services"), "service", services, ARRAY_LEN(services), out);
	write_listed(json_object_get(supervisor, "Workers"), "worker", workers, ARRAY_LEN(workers), out);
}

void metrics_write(const struct apid *a, const struct json_t *supervisor, const struct json_t *containers,
		   const struct json_t *images, struct evbuffer *out)
{
	const json_t *n = json_object_get(json_object_get(images, "Counters"), "Images");

	family(out, "pouch_build_info", "gauge", "Always 1; the label is the version.");
	sample(out, "pouch_build_info", "version", pouch_version, 1);
	gauge(out, "pouch_http_connections", "Client connections.", (double)a->nconnections);
	gauge(out, "pouch_http_requests_in_flight", "Requests being worked on.", (double)a->nexchanges);
	write_requests(a->stats, out);
	write_ipc(a, out);
	if (containers)
		write_containers(containers, out);
	if (n)
		gauge(out, "pouch_images", "Images.", json_number_value(n));
	if (supervisor)
		write_processes(supervisor, out);
}
