/*
 * dns: the name server of containers on networks that users made. It asks nobody who asks it: each question comes by a
 * socket that netd has made in one container's network namespace. It outlives netd, and goes on with what it knows.
 */
#include <stdlib.h>

#include "lib/config.h"
#include "lib/log.h"
#include "lib/util.h"
#include "netd/dns/dns.h"

static void on_dns_upstream(struct ipc_request *req, struct dns_upstream *m, struct dns *d)
{
	names_read_servers(m->servers.json, &d->upstream);
	ipc_reply_done(req);
}

static void on_dns_serve(struct ipc_request *req, struct dns_serve *m, struct dns *d)
{
	struct dns_serving reply = {.udp = -1, .tcp = -1};
	const struct served *s = serve_set(d, m->container, m->names.json, STEAL_FD(m->udp), STEAL_FD(m->tcp));

	if (m->give) {
		reply.udp = s->udp;
		reply.tcp = s->tcp;
	}
	ipc_reply(req, &reply);
}

static void on_dns_forget(struct ipc_request *req, struct dns_forget *m, struct dns *d)
{
	struct served *s = serve_find(d, m->container);

	if (s)
		serve_forget(s);
	ipc_reply_done(req);
}

static bool is_among(const json_t *texts, const char *text)
{
	json_t *item;
	size_t i;

	json_array_foreach(texts, i, item)
		if (str_eq(json_string_value(item), text))
			return true;
	return false;
}

static void on_dns_keep(struct ipc_request *req, struct dns_keep *m, struct dns *d)
{
	struct served *s, *next;

	for (s = TAILQ_FIRST(&d->served); s; s = next) {
		next = TAILQ_NEXT(s, next);
		if (!is_among(m->containers.json, s->container))
			serve_forget(s);
	}
	ipc_reply_done(req);
}

static const struct ipc_handler handlers[] = {
	IPC_HANDLER(dns_upstream, struct dns),
	IPC_HANDLER(dns_serve, struct dns),
	IPC_HANDLER(dns_forget, struct dns),
	IPC_HANDLER(dns_keep, struct dns),
};

int main(int argc, char **argv)
{
	struct dns d = {0};
	struct err e = {0};

	TAILQ_INIT(&d.served);
	daemon_init(&d.daemon, PROC_dns, argc, argv);
	daemon_confine(&d.daemon);
	d.names = names_new();
	const struct ipc_server_config config = {
		.self = PROC_dns,
		.listen_fd = d.daemon.listen_fd,
		.ids_base = d.daemon.config->ids_base,
		.handlers = handlers,
		.nhandlers = ARRAY_LEN(handlers),
		.daemon = &d,
		.proc_fd = -1,
	};
	if (ipc_server_new(d.daemon.base, &config, &d.server, &e) < 0) {
		log_error("%s", e.text);
		return 1;
	}
	const int code = daemon_run(&d.daemon);
	while (!TAILQ_EMPTY(&d.served))
		serve_forget(TAILQ_FIRST(&d.served));
	ipc_server_free(d.server);
	names_free(d.names);
	return code;
}
