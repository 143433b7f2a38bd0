/* Config and policy: read, checked and handed out; at a reload all or nothing. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ipc/channel.h"
#include "ipc/server.h"
#include "lib/config.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/policy.h"
#include "lib/util.h"
#include "pouchd/supervisor.h"

struct reload {
	struct ipc_request *req; /* NULL: by SIGHUP */
	unsigned waiting;	 /* answers that have not come */
	bool asked[SERVICES];
	bool front_again; /* apid has to be started anew, for its sockets have changed */
	struct err problem;
};

static struct config_source source_of(const struct supervisor *s, const struct daemon_text *file)
{
	return (struct config_source){.file = file->text ? s->args.config : NULL,
				      .text = file->text,
				      .len = file->len,
				      .root = s->args.root,
				      .run = s->args.run,
				      .sets = s->args.sets,
				      .nsets = s->args.nsets};
}

static int read_config(struct supervisor *s, struct config **config, int *fd, struct err *e)
{
	struct daemon_text file = {0};
	char *text = NULL;
	size_t len = 0;

	int r = s->args.config ? daemon_read_text(s->args.config, CONFIG_TEXT_MAX, &file, e) : 0;
	if (r == 0 && s->args.config && !file.text)
		r = err_set(e, -ENOENT, "%s: there is no such file", s->args.config);
	const struct config_source source = source_of(s, &file);
	if (r == 0)
		r = config_parse(&source, config, e);
	if (r == 0)
		r = config_text(&source, &text, &len, e);
	if (r == 0)
		r = *fd = fd_memfd("config", text, len, e);
	free(text);
	free(file.text);
	return r < 0 ? r : 0;
}

static int read_policy(const struct config *config, int *fd, struct err *e)
{
	struct daemon_text file = {0};
	char *checked = NULL;
	size_t len = 0;
	int r = daemon_read_text(config->policy_path, DAEMON_POLICY_MAX, &file, e);

	if (r < 0)
		return r;
	r = policy_text(config->policy_path, file.text, file.len, config, &checked, &len, e);
	if (r == 0)
		r = *fd = fd_memfd("policy", checked, len, e);
	free(checked);
	free(file.text);
	return r < 0 ? r : 0;
}

int settings_read(struct supervisor *s, struct config **config, int *config_fd, int *policy_fd, struct err *e)
{
	*config = NULL;
	*config_fd = *policy_fd = -1;
	int r = read_config(s, config, config_fd, e);
	if (r == 0)
		r = read_policy(*config, policy_fd, e);
	if (r < 0) {
		config_free(*config);
		fd_close(config_fd);
		fd_close(policy_fd);
	}
	return r;
}

/* ---- reload ---- */

static void finish(struct supervisor *s)
{
	struct reload *l = STEAL(s->reload);

	if (l->problem.code == 0)
		log_info("configuration and policy are reloaded");
	if (l->problem.code == 0 && l->req)
		ipc_reply_done(l->req);
	else if (l->req)
		ipc_reply_error(l->req, &l->problem);
	if (l->front_again)
		service_restart(service_by_name(s, "apid"));
	free(l);
}

static void refuse(struct ipc_request *req, const struct err *e)
{
	log_error("reload refused, the old configuration stays: %s", e->text);
	if (req)
		ipc_reply_error(req, e);
}

void reload_answered(struct service *v, const struct err *e)
{
	struct supervisor *s = v->sup;
	struct reload *l = s->reload;
	size_t i = (size_t)(v - s->services);

	if (!l || !l->asked[i])
		return;
	l->asked[i] = false;
	/* One that died meanwhile is started with the new texts. */
	if (e && e->code != -ECONNRESET) {
		log_error("reload: %s", e->text);
		l->problem = *e;
	}
	if (--l->waiting == 0)
		finish(s);
}

static void hand_out(struct supervisor *s)
{
	struct service_reload m = {.config = s->config_fd, .policy = s->policy_fd};
	struct reload *l = s->reload;

	for (size_t i = 0; i < SERVICES; i++) {
		struct service *v = &s->services[i];
		const struct ipc_head head = {
			.message = ipc_message(IPC_service_reload), .kind = K_REQUEST, .id = ++v->next_id};
		if (!v->control || v->state == SERVICE_STOPPING || (v->id == PROC_apid && l->front_again))
			continue;
		if (channel_send(v->control, &head, &m, NULL) == 0) {
			l->asked[i] = true;
			l->waiting++;
		}
	}
	if (l->waiting == 0)
		finish(s);
}

/* The new sockets take the place of the old ones; those that stay are the same sockets. Returns whether any is new. */
static bool take_sockets(struct supervisor *s, struct http_socket *fresh, const struct config *config)
{
	size_t n = config->listeners.n;
	bool changed = n != s->nhttp;

	for (size_t i = 0; i < s->nhttp; i++) {
		bool kept = false;
		for (size_t k = 0; k < n; k++)
			kept = kept || str_eq(s->http[i].path, fresh[k].path);
		if (s->http[i].path && !kept)
			unlink(s->http[i].path);
		/* Behind a network's socket stand certificates, which are read at the start. */
		changed = changed || i >= n || config->listeners.v[i].type != LISTENER_UNIX ||
			  !(fresh[i].passed || str_eq(s->http[i].path, fresh[i].path));
	}
	sockets_http_close(s->http, s->nhttp);
	memcpy(s->http, fresh, n * sizeof *fresh);
	s->nhttp = n;
	return changed;
}

static int read_again(struct supervisor *s, bool *sockets_changed, struct err *e)
{
	struct http_socket fresh[LISTENERS_MAX] = {0};
	struct config *config;
	int config_fd, policy_fd;

	if (s->reload)
		return err_http(e, 409, "a reload is under way");
	int r = settings_read(s, &config, &config_fd, &policy_fd, e);
	if (r < 0)
		return r;
	const char *key = config_fixed_difference(s->config, config);
	if (key)
		r = err_set(e, -EINVAL, "%s takes effect when the engine starts, and cannot be changed by a reload",
			    key);
	if (r == 0)
		r = front_check(s, config, config_fd, e);
	if (r == 0)
		r = sockets_http(s, config, NULL, 0, fresh, e);
	if (r < 0) {
		config_free(config);
		close(config_fd);
		fd_close(&policy_fd);
		return r;
	}
	*sockets_changed = take_sockets(s, fresh, config);
	config_free(s->config);
	fd_close(&s->config_fd);
	fd_close(&s->policy_fd);
	s->config = config;
	s->config_fd = config_fd;
	s->policy_fd = policy_fd;
	log_set_level(config->log_level);
	return 0;
}

void reload_start(struct supervisor *s, struct ipc_request *req)
{
	bool sockets_changed = false;
	struct err e;

	if (read_again(s, &sockets_changed, &e) < 0) {
		refuse(req, &e);
		return;
	}
	s->reload = XNEW(struct reload);
	s->reload->req = req;
	s->reload->front_again = sockets_changed;
	hand_out(s);
}
