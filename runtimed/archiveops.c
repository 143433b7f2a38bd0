/* archiveops: the operations on a container's files, and its statistics: archives, export, changes, stats. */
#include <stdio.h>

#include "runtimed/files.h"
#include "runtimed/runtimed.h"
#include "runtimed/spec.h"

/* A request that a rootfs worker serves. */
struct transfer {
	struct ipc_request *req;
	struct files_turn *turn; /* NULL when it takes none */
	struct container *container;
	struct launch_files *files;
	const char *ref, *path; /* of the request's message */
	int (*begin)(struct transfer *t, const struct launch_root *root, struct err *e);
	bool stream; /* its answer is bytes */
	bool writes;
};

static void transfer_free(struct transfer *t)
{
	files_turn_end(t->turn);
	if (t->writes)
		files_changed(t->container);
	container_unref(t->container);
	free(t);
}

static char *base64(const char *text)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *in = (const unsigned char *)text;
	size_t n = strlen(text);
	char *out = xcalloc(n / 3 * 4 + 8, 1), *p = out;

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)in[i] << 16 | (i + 1 < n ? (uint32_t)in[i + 1] << 8 : 0) |
			     (i + 2 < n ? in[i + 2] : 0);
		*p++ = set[v >> 18];
		*p++ = set[v >> 12 & 63];
		*p++ = i + 1 < n ? set[v >> 6 & 63] : '=';
		*p++ = i + 2 < n ? set[v & 63] : '=';
	}
	return out;
}

static char *stat_header(const json_t *info)
{
	AUTO_FREE char *text = json_dumps(info, JSON_COMPACT);
	AUTO_FREE char *encoded = base64(text);

	return xasprintf("X-Docker-Container-Path-Stat: %s\r\n", encoded);
}

static void fail(struct transfer *t, const struct err *why)
{
	struct err e = *why;

	if (e.status == 404 && t->path)
		err_http(&e, 404, "Could not find the file %s in container %s", t->path, t->ref);
	ipc_reply_error(t->req, &e);
	transfer_free(t);
}

static void on_stream(void *arg, json_t *info, int *pipe)
{
	struct transfer *t = arg;
	AUTO_FREE char *headers = info ? stat_header(info) : NULL;

	ipc_chunk_pipe(t->req, *pipe, "application/x-tar", headers);
	fd_close(pipe);
}

static void on_done(void *arg, json_t *result, const struct err *e)
{
	struct transfer *t = arg;

	if (e) {
		fail(t, e);
		return;
	}
	if (t->stream) {
		ipc_reply_done(t->req);
	} else if (json_is_object(result)) {
		AUTO_FREE char *headers = stat_header(result);
		struct api_reply reply = {.status = 200, .headers = headers};
		ipc_reply_api(t->req, &reply);
	} else {
		ipc_reply_json(t->req, 200, json_incref(result));
	}
	transfer_free(t);
}

static void on_cancel(struct ipc_request *req, void *arg)
{
	struct transfer *t = arg;

	launch_files_cancel(t->files);
	ipc_fail(req, 499, "the client has gone");
	transfer_free(t);
}

static const struct launch_files_events transfer_events = {.stream = on_stream, .done = on_done};

static void on_turn(void *arg, const struct launch_root *root, const struct err *why)
{
	struct transfer *t = arg;
	struct err e = {0};

	if (why)
		e = *why;
	if (why || t->begin(t, root, &e) < 0)
		fail(t, &e);
}

static struct transfer *transfer_new(struct ipc_request *req, struct runtimed *rt, const char *ref)
{
	struct container *c = request_container(rt, req, ref);

	if (!c)
		return NULL;
	struct transfer *t = XNEW(struct transfer);
	*t = (struct transfer){.req = req, .container = container_ref(c), .ref = ref};
	ipc_request_on_cancel(req, on_cancel, t);
	return t;
}

/* `path` NULL: of the whole container. */
static void transfer(struct ipc_request *req, struct runtimed *rt, const char *ref, const char *path, bool stream,
		     int (*begin)(struct transfer *t, const struct launch_root *root, struct err *e))
{
	if (path && !*path) {
		ipc_fail(req, 400, "bad parameter: path cannot be empty");
		return;
	}
	struct transfer *t = transfer_new(req, rt, ref);
	if (!t)
		return;
	t->path = path;
	t->begin = begin;
	t->stream = stream;
	t->turn = files_turn(t->container, on_turn, t);
}

static int begin_head(struct transfer *t, const struct launch_root *root, struct err *e)
{
	return launch_archive_head(root, t->path, &transfer_events, t, &t->files, e);
}

void on_container_archive_head(struct ipc_request *req, struct container_archive_head *m, struct runtimed *rt)
{
	transfer(req, rt, m->id, m->path ? m->path : "", false, begin_head);
}

static int begin_get(struct transfer *t, const struct launch_root *root, struct err *e)
{
	return launch_archive_get(root, t->path, &transfer_events, t, &t->files, e);
}

void on_container_archive_get(struct ipc_request *req, struct container_archive_get *m, struct runtimed *rt)
{
	transfer(req, rt, m->id, m->path ? m->path : "", true, begin_get);
}

static int begin_put(struct transfer *t, const struct launch_root *root, struct err *e)
{
	struct container_archive_put *m = ipc_request_msg(t->req);
	int r = launch_archive_put(root, t->path, m->tar, m->no_overwrite_dir_non_dir, m->copy_uid_gid,
				   &transfer_events, t, &t->files, e);

	fd_close(&m->tar);
	t->writes = true;
	files_changed(t->container);
	return r;
}

void on_container_archive_put(struct ipc_request *req, struct container_archive_put *m, struct runtimed *rt)
{
	if (m->tar < 0)
		ipc_fail(req, 400, "the archive is missing");
	else
		transfer(req, rt, m->id, m->path ? m->path : "", false, begin_put);
}

static int begin_export(struct transfer *t, const struct launch_root *root, struct err *e)
{
	return launch_export(root, &transfer_events, t, &t->files, e);
}

void on_container_export(struct ipc_request *req, struct container_export *m, struct runtimed *rt)
{
	transfer(req, rt, m->id, NULL, true, begin_export);
}

/* Read from the upper directory: no matter whether it runs. */
void on_container_changes(struct ipc_request *req, struct container_changes *m, struct runtimed *rt)
{
	struct transfer *t = transfer_new(req, rt, m->id);
	struct err e = {0};
	struct spec spec;

	if (!t)
		return;
	spec_basic(t->container, &spec);
	struct launch_root root = {.launch = rt->launch, .spec = &spec.launch};
	int r = launch_changes(&root, &transfer_events, t, &t->files, &e);
	spec_clean(&spec);
	if (r < 0)
		fail(t, &e);
}

/* ---- stats ---- */

struct stats {
	struct ipc_request *req;
	struct container *container;
	struct event *timer;
	json_t *last; /* cpu_stats of the sample before */
	bool stream;
};

static void stats_free(struct stats *s)
{
	event_free(s->timer);
	json_decref(s->last);
	container_unref(s->container);
	free(s);
}

/* Returns false when there is nothing to tell: it has ended. */
static bool sample(struct stats *s, bool tell)
{
	struct container *c = s->container;
	json_t *now = NULL;

	if (!c->run || !container_alive(c) || launch_stats(c->run, &now, NULL) < 0)
		return false;
	json_object_set_new(now, "name", json_sprintf("/%s", c->name));
	json_object_set_new(now, "id", json_string(c->id));
	json_object_set_new(now, "preread", json_string("0001-01-01T00:00:00Z"));
	json_object_set_new(now, "precpu_stats",
			    s->last ? json_incref(s->last) : json_pack("{s:{s:i}}", "cpu_usage", "total_usage", 0));
	json_decref(s->last);
	s->last = json_incref(json_object_get(now, "cpu_stats"));
	if (tell) {
		AUTO_FREE char *text = json_dumps(now, JSON_COMPACT);
		AUTO_FREE char *line = xasprintf("%s\n", text);
		/* A client that does not keep up misses samples. */
		ipc_chunk(s->req, line, strlen(line));
	}
	json_decref(now);
	return true;
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval second = {.tv_sec = 1};
	struct stats *s = arg;

	(void)fd;
	(void)what;
	if (sample(s, true) && s->stream) {
		event_add(s->timer, &second);
		return;
	}
	ipc_reply_done(s->req);
	stats_free(s);
}

static void on_stats_cancel(struct ipc_request *req, void *arg)
{
	ipc_fail(req, 499, "the client has gone");
	stats_free(arg);
}

void on_container_stats(struct ipc_request *req, struct container_stats *m, struct runtimed *rt)
{
	struct container *c = request_container(rt, req, m->id);
	const struct timeval second = {.tv_sec = 1};

	if (!c)
		return;
	struct stats *s = XNEW(struct stats);
	*s = (struct stats){.req = req, .container = container_ref(c), .stream = m->stream};
	s->timer = evtimer_new(rt->d.base, on_second, s);
	/* Without one-shot a single answer carries two samples, a second apart. */
	bool first = m->stream || m->one_shot;
	if (!container_alive(c)) {
		AUTO_FREE char *text =
			xasprintf("{\"name\":\"/%s\",\"id\":\"%s\",\"read\":\"0001-01-01T00:00:00Z\","
				  "\"cpu_stats\":{},\"precpu_stats\":{},\"memory_stats\":{},\"pids_stats\":{},"
				  "\"blkio_stats\":{}}\n",
				  c->name, c->id);
		ipc_chunk(req, text, strlen(text));
	} else if (sample(s, first) && !(first && !m->stream)) {
		ipc_request_on_cancel(req, on_stats_cancel, s);
		event_add(s->timer, &second);
		return;
	}
	ipc_reply_done(req);
	stats_free(s);
}
