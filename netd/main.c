/*
 * netd: owns networks: bridges, addresses, published ports, what names resolve to. It configures network namespaces
 * that it is handed and never makes one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/config.h"
#include "lib/jobs.h"
#include "lib/log.h"
#include "lib/util.h"
#include "netd/hostfile.h"
#include "netd/kernel.h"
#include "netd/names.h"
#include "netd/watch.h"

static const char *const schema[] = {
	"CREATE TABLE network(id TEXT PRIMARY KEY, doc TEXT NOT NULL) STRICT;"
	"CREATE TABLE attachment(container TEXT PRIMARY KEY, doc TEXT NOT NULL) STRICT;",
	NULL,
};

/* Sysctls of the host's network, by the names that /info has for them; a file that is missing says no. */
static json_t *host_json(void)
{
	static const struct {
		const char *name, *path;
	} rows[] = {
		{"IPv4Forwarding", "/proc/sys/net/ipv4/ip_forward"},
		{"BridgeNfIptables", "/proc/sys/net/bridge/bridge-nf-call-iptables"},
		{"BridgeNfIp6tables", "/proc/sys/net/bridge/bridge-nf-call-ip6tables"},
	};
	json_t *o = json_object();

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char value = '0';
		AUTO_CLOSE int fd = open(rows[i].path, O_RDONLY | O_CLOEXEC);

		json_object_set_new(o, rows[i].name, json_boolean(fd >= 0 && read(fd, &value, 1) == 1 && value == '1'));
	}
	return o;
}

static void on_service_status(struct ipc_request *req, struct service_status *m, struct netd *d)
{
	json_t *state = daemon_state_json(&d->daemon);
	struct service_state reply = {.state = {.json = state}};

	(void)m;
	json_object_set_new(state, "Host", host_json());
	ipc_reply(req, &reply);
	json_decref(state);
}

static const struct ipc_handler handlers[] = {
	IPC_HANDLER(network_list, struct netd),	   IPC_HANDLER(network_inspect, struct netd),
	IPC_HANDLER(network_create, struct netd),  IPC_HANDLER(network_remove, struct netd),
	IPC_HANDLER(network_prune, struct netd),   IPC_HANDLER(network_check, struct netd),
	IPC_HANDLER(network_attach, struct netd),  IPC_HANDLER(network_detach, struct netd),
	IPC_HANDLER(network_join, struct netd),	   IPC_HANDLER(network_leave, struct netd),
	IPC_HANDLER(network_rename, struct netd),  IPC_HANDLER(network_reconcile, struct netd),
	IPC_HANDLER(network_resolve, struct netd), IPC_HANDLER(network_describe, struct netd),
	IPC_HANDLER(network_unlink, struct netd),  IPC_HANDLER(service_status, struct netd),
};

/* Only when the config asks for it in so many words: it makes the host a router for everybody. */
static void set_forwarding(const struct config *c)
{
	static const char *const files[] = {"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"};

	for (size_t i = 0; c->network_ip_forward && i < ARRAY_LEN(files); i++) {
		AUTO_CLOSE int fd = open(files[i], O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, "1", 1) != 1)
			log_warn("%s could not be set: %m", files[i]);
	}
}

static int open_all(struct netd *d, struct err *e)
{
	AUTO_FREE char *db = xasprintf("%s/netd/netd.db", d->daemon.root);
	int rc;

	TAILQ_INIT(&d->waiting);
	if ((rc = store_open(db, "networks", schema, &d->store, e)) < 0 ||
	    (rc = networks_new(d->store, d->daemon.config, d->daemon.root, &d->networks, e)) < 0 ||
	    (rc = firewall_new(d->daemon.config->network_nft_table, &d->firewall, e)) < 0 ||
	    (rc = jobs_new(d->daemon.base, &d->jobs, e)) < 0 || (rc = watch_new(d, &d->watch, e)) < 0)
		return rc;
	d->runtimed = daemon_client(&d->daemon, PROC_runtimed, 0);
	rc = kernel_restore(d, e);
	d->names = names_new(d);
	d->hostfile = hostfile_new(d);
	return rc;
}

static void on_reload(struct daemon *daemon, void *arg)
{
	struct netd *d = arg;

	(void)daemon;
	guard_reload(d->guard);
	names_upstream(d);
}

static void clean(struct netd *d)
{
	ipc_server_free(d->server);
	hostfile_free(d->hostfile);
	names_free(d->names);
	ipc_client_free(d->runtimed);
	jobs_free(d->jobs);
	watch_free(d->watch);
	kernel_leave(d);
	firewall_free(d->firewall);
	networks_free(d->networks);
	links_free(d->links);
	store_free(d->store);
	guard_free(d->guard);
}

int main(int argc, char **argv)
{
	struct netd d = {0};
	struct err e = {0};

	daemon_init(&d.daemon, PROC_netd, argc, argv);
	d.daemon.arg = &d;
	d.daemon.reload = on_reload;
	if (guard_new(&d.daemon, NULL, &d.guard, &e) < 0 ||
	    links_new(d.daemon.config->network_nft_table, &d.links, &e) < 0) {
		log_error("%s", e.text);
		return 1;
	}
	set_forwarding(d.daemon.config);
	daemon_confine(&d.daemon);
	if (open_all(&d, &e) < 0 || guard_serve(d.guard, handlers, ARRAY_LEN(handlers), &d, &d.server, &e) < 0) {
		log_error("%s", e.text);
		return 1;
	}
	const int code = daemon_run(&d.daemon);
	clean(&d);
	return code;
}
