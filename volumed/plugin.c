#include "volumed/plugin.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/config.h"
#include "lib/json.h"
#include "lib/times.h"
#include "lib/util.h"

struct call {
	struct bufferevent *stream;
	struct event *deadline;
	char name[256];
	uint32_t patience_ms;
	plugin_done done;
	void *arg;
};

static int64_t socket_since(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode) ? st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec : 0;
}

/* DIR/NAME.sock, or DIR/NAME/NAME.sock, as Docker looks for them. */
static bool socket_address(const char *dir, const char *name, struct sockaddr_un *address)
{
	const size_t size = sizeof address->sun_path;

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	int n = snprintf(address->sun_path, size, "%s/%s/%s.sock", dir, name, name);
	if (n > 0 && (size_t)n < size && socket_since(address->sun_path))
		return true;
	n = snprintf(address->sun_path, size, "%s/%s.sock", dir, name);
	return n > 0 && (size_t)n < size;
}

int64_t plugin_since(const char *dir, const char *name)
{
	struct sockaddr_un address;

	return *dir && socket_address(dir, name, &address) ? socket_since(address.sun_path) : 0;
}

bool plugin_exists(const char *dir, const char *name)
{
	return plugin_since(dir, name) != 0;
}

bool plugin_described(const char *dir, const char *name, const char **how)
{
	static const char *const kinds[] = {"spec", "json"};

	for (size_t i = 0; *dir && i < ARRAY_LEN(kinds); i++) {
		AUTO_FREE char *path = xasprintf("%s/%s.%s", dir, name, kinds[i]);

		if (access(path, F_OK) == 0) {
			*how = kinds[i];
			return true;
		}
	}
	return false;
}

static void end(struct call *c, const json_t *answer, const struct err *e)
{
	bufferevent_free(c->stream);
	event_free(c->deadline);
	c->done(c->arg, answer, e);
	free(c);
}

static void __attribute__((format(printf, 3, 4))) fail_as(struct call *c, int code, const char *fmt, ...)
{
	struct err e = {0};
	char text[ERR_TEXT_MAX / 2];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	err_http(&e, 500, "volume driver %s: %s", c->name, text);
	e.code = code;
	end(c, NULL, &e);
}

#define fail(c, ...) fail_as(c, -EIO, __VA_ARGS__)

/* The answer is whole: status line, head, JSON. It was asked for in HTTP/1.0, so it is not chunked. */
static void dissect(struct call *c, char *text, size_t len)
{
	char *body = strstr(text, "\r\n\r\n");
	AUTO_FREE char *copy = NULL;
	int status = 0;
	json_t *answer = NULL;
	struct err e = {0};

	if (!body || sscanf(text, "HTTP/1.%*1[01] %3d", &status) != 1) {
		fail(c, "its answer is no HTTP");
		return;
	}
	body += 4;
	if (json_parse(body, len - (size_t)(body - text), &JSON_BOUNDS_DOCUMENT, &answer, &e) < 0) {
		fail(c, "status %d, and its answer is no JSON: %s", status, e.text);
		return;
	}
	const char *err = json_string_value(json_object_get(answer, "Err"));
	copy = err && *err ? xstrdup(err) : NULL;
	if (copy || status != 200) {
		json_decref(answer);
		fail_as(c, -EREMOTEIO, "%s", copy ? copy : "it answered with a failure without a text");
		return;
	}
	end(c, answer, NULL);
	json_decref(answer);
}

static void on_readable(struct bufferevent *stream, void *arg)
{
	if (evbuffer_get_length(bufferevent_get_input(stream)) > PLUGIN_ANSWER_MAX)
		fail(arg, "its answer is larger than %u bytes", PLUGIN_ANSWER_MAX);
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
	struct call *c = arg;

	if (what & BEV_EVENT_CONNECTED)
		return;
	if (what & BEV_EVENT_EOF) {
		struct evbuffer *in = bufferevent_get_input(stream);
		const size_t len = evbuffer_get_length(in);
		AUTO_FREE char *text = xcalloc(1, len + 1);

		evbuffer_remove(in, text, len);
		dissect(c, text, len);
		return;
	}
	fail(c, "%s", strerror(errno));
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	fail_as(arg, -ETIMEDOUT, "no answer within %u ms", ((struct call *)arg)->patience_ms);
}

void plugin_call(struct event_base *base, const struct config *config, const char *name, const char *method,
		 uint32_t at_most_ms, json_t *take_body, plugin_done done, void *arg)
{
	const uint32_t configured = config->volumes_plugin_timeout;
	const uint32_t ms = at_most_ms && at_most_ms < configured ? at_most_ms : configured;
	const struct timeval timeout = timeval_ms(ms);
	struct call *c = XNEW(struct call);
	AUTO_FREE char *body = json_dumps(take_body, JSON_COMPACT);
	struct sockaddr_un address;

	json_decref(take_body);
	snprintf(c->name, sizeof c->name, "%s", name);
	c->patience_ms = ms;
	c->done = done;
	c->arg = arg;
	c->stream = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	c->deadline = event_new(base, -1, 0, on_deadline, c);
	event_add(c->deadline, &timeout);
	if (!socket_address(config->volumes_plugin_dir, name, &address)) {
		fail(c, "the path of its socket is too long");
		return;
	}
	bufferevent_setcb(c->stream, on_readable, NULL, on_event, c);
	bufferevent_enable(c->stream, EV_READ | EV_WRITE);
	evbuffer_add_printf(bufferevent_get_output(c->stream),
			    "POST /%s HTTP/1.0\r\nHost: plugin\r\nAccept: application/vnd.docker.plugins.v1.1+json\r\n"
			    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
			    method, strlen(body), body);
	if (bufferevent_socket_connect(c->stream, (struct sockaddr *)&address, sizeof address))
		fail(c, "connect: %s", strerror(errno));
}
