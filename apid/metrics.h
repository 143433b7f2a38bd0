/* metrics: the document of /metrics: Prometheus text, of what apid has counted and what the processes have said. */
#ifndef POUCH_APID_METRICS_H
#define POUCH_APID_METRICS_H

struct apid;
struct evbuffer;
struct json_t;

/* Appends. The parts are borrowed, each NULL when that process did not answer: its families are left out then. */
void metrics_write(const struct apid *a, const struct json_t *supervisor, const struct json_t *containers,
		   const struct json_t *images, struct evbuffer *out);

#endif
