/* apid: parses what clients send, asks the owners, and holds no power of its own. */
#include <event2/event.h>
#include <malloc.h>
#include <stdio.h>

#include "apid/apid.h"
#include "apid/host.h"
#include "apid/listener.h"
#include "apid/tls.h"
#include "lib/daemon.h"
#include "lib/guard.h"
#include "lib/log.h"
#include "lib/util.h"

#define MMAP_FROM (256 << 10)

/* Who answers operations, or is asked for /info and /metrics. */
static const enum process_id peers[] = {PROC_runtimed, PROC_imaged, PROC_volumed, PROC_netd, PROC_auditd, PROC_pouchd};

static int add_listeners(struct daemon *d, struct apid *a, struct err *e)
{
	for (size_t i = 0; i < d->config->listeners.n; i++) {
		char name[32];
		snprintf(name, sizeof name, "http-%zu", i);
		int fd = daemon_fd(d, name);
		if (fd < 0)
			return err_set(e, -1, "the listening socket %s was not passed", name);
		int r = listener_add(a, fd, (uint32_t)i, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* For pouchd, which wants to know before it relies on it: what is wrong with the certificates is written to `fd`. */
static int check_certificates(const struct daemon *d, int fd)
{
	const struct config_listener *v = d->config->listeners.v;
	struct err e;

	for (size_t i = 0; i < d->config->listeners.n; i++) {
		struct ssl_ctx_st *context = NULL;
		if (v[i].type == LISTENER_TLS &&
		    tls_context_new(v[i].tls_cert, v[i].tls_key, v[i].tls_ca, &context, &e) < 0) {
			dprintf(fd, "listeners[%zu]: %s", i, e.text);
			return 1;
		}
		tls_context_free(context);
	}
	return 0;
}

static void on_stopped(void *arg)
{
	daemon_stop(arg);
}

static void on_stop(struct daemon *d, void *arg)
{
	apid_stop(arg, on_stopped, d);
}

static void on_reload(struct daemon *d, void *arg)
{
	struct apid *a = arg;

	apid_configure(a, d->config);
	guard_reload(a->guard);
}

int main(int argc, char **argv)
{
	static struct daemon d; /* what hangs on it is never freed: nothing is lost where main() returns early */
	struct err e;

	/* A large body's memory goes with it; left to itself malloc would keep up to 64 MiB for the next one. */
	mallopt(M_MMAP_THRESHOLD, MMAP_FROM);
	/* Before the first buffer: requests pass through them with their credentials. */
	event_set_mem_functions(malloc, realloc, free_cleared);
	daemon_init(&d, PROC_apid, argc, argv);
	if (daemon_fd(&d, "check") >= 0)
		return check_certificates(&d, daemon_fd(&d, "check"));
	struct apid *a = apid_new(d.base, d.config);
	for (size_t i = 0; i < ARRAY_LEN(peers); i++)
		apid_add_peer(a, peers[i], daemon_socket_path(&d, peers[i]));
	a->host = host_facts(d.root);
	if (guard_new(&d, NULL, &a->guard, &e) < 0 || add_listeners(&d, a, &e) < 0) {
		log_error("%s", e.text);
		return 1;
	}
	d.arg = a;
	d.stop = on_stop;
	d.reload = on_reload;
	d.loop = apid_loop;
	daemon_confine(&d);
	listener_start_all(a);
	int code = daemon_run(&d);
	struct guard *guard = a->guard;
	apid_free(a);
	guard_free(guard);
	return code;
}
