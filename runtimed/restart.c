#include "runtimed/restart.h"

#include "lib/log.h"
#include "runtimed/run.h"
#include "runtimed/runtimed.h"
#include "lib/times.h"

#define BACKOFF_FIRST_MS 100u
#define BACKOFF_MOST_MS	 60000u
/* A run of this length starts the back-off anew. */
#define GOOD_RUN (10 * NS_PER_SEC)

bool restart_wanted(const struct container *c)
{
	const json_t *policy = json_object_get(c->host, "RestartPolicy");
	const char *name = json_text(policy, "Name");
	int64_t most = json_int(policy, "MaximumRetryCount");

	if (!name || c->state.stopped_by_user)
		return false;
	if (str_eq(name, "on-failure"))
		return c->state.exit_code != 0 && (most == 0 || c->state.restart_count < (uint64_t)most);
	return str_eq(name, "always") || str_eq(name, "unless-stopped");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct container *c = container_ref(arg);
	struct err e;

	(void)fd;
	(void)what;
	/* One that was cut by the end of this process is counted, and was not done. */
	if (!c->state.restart_counted)
		c->state.restart_count++;
	c->state.restart_counted = true;
	/* Before it begins: whoever comes after this process knows by it that there may be something to adopt. */
	container_settled(c);
	if (run_start(c, &e) < 0)
		log_warn("container %.12s is not restarted: %s", c->id, e.text);
	container_unref(c);
}

static void arm(struct container *c, unsigned ms)
{
	struct timeval after = timeval_ms(ms);

	if (!c->restart_timer)
		c->restart_timer = evtimer_new(c->rt->d.base, on_timer, c);
	event_add(c->restart_timer, &after);
}

void restart_plan(struct container *c)
{
	if (!restart_wanted(c)) {
		c->backoff_ms = 0;
		return;
	}
	if (c->state.finished - c->state.started >= GOOD_RUN)
		c->backoff_ms = 0;
	c->backoff_ms = c->backoff_ms ? c->backoff_ms * 2 : BACKOFF_FIRST_MS;
	if (c->backoff_ms > BACKOFF_MOST_MS)
		c->backoff_ms = BACKOFF_MOST_MS;
	c->state.status = CT_RESTARTING;
	c->state.restart_counted = false;
	arm(c, c->backoff_ms);
}

void restart_cancel_timer(struct container *c)
{
	if (c->restart_timer)
		event_del(c->restart_timer);
}

void restart_resume(struct container *c)
{
	const char *name = json_text(json_object_get(c->host, "RestartPolicy"), "Name");

	if (c->state.status == CT_RESTARTING) {
		arm(c, BACKOFF_FIRST_MS);
		return;
	}
	/* A restart by request was cut between its halves; it does not count as one of the policy's. */
	const bool cut = c->state.restart_due && restart_wanted(c);
	/* Docker's "always": also one that was stopped by request, when the engine comes up with the host. */
	const bool always = c->rt->first_start && str_eq(name, "always");
	if (c->state.status == CT_EXITED && (cut || always)) {
		c->state.status = CT_RESTARTING;
		c->state.restart_counted = cut;
		container_changed(c);
		arm(c, BACKOFF_FIRST_MS);
	}
}
