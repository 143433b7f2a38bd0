/* wait: POST /containers/{id}/wait. The head is sent at once: the docker CLI starts the container when it has it. */
#include <errno.h>

#include "runtimed/runtimed.h"

struct waiting {
	struct waiter waiter; /* first */
	struct ipc_request *req;
	struct container *container;
	char *error; /* of the state, as of the exit */
	int code;
	bool removal; /* is what is waited for */
};

static void waiting_free(struct waiting *w)
{
	waiter_cancel(&w->waiter);
	container_unref(w->container);
	free(w->error);
	free(w);
}

static void answer(struct waiting *w)
{
	json_t *body = json_pack("{s:i}", "StatusCode", w->code);

	if (w->error)
		json_object_set_new(body, "Error", json_pack("{s:s}", "Message", w->error));
	char *text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	struct ipc_request *req = w->req;
	ipc_request_on_cancel(req, NULL, NULL);
	waiting_free(w);
	ipc_chunk(req, text, strlen(text));
	free(text);
	ipc_reply_done(req);
}

/* Who waits for the removal is told of what went wrong with it, not with the start: the starter has been. */
static void take_exit(struct waiting *w)
{
	const struct container_state *s = &w->container->state;

	w->code = s->exit_code;
	free(w->error);
	w->error = s->error && !w->removal ? xstrdup(s->error) : NULL;
}

static void on_event(struct waiter *waiter, struct container *c, uint32_t event)
{
	struct waiting *w = (struct waiting *)waiter;

	(void)c;
	if (event & CE_REMOVED || waiter->events & CE_EXIT) {
		take_exit(w);
		answer(w);
	}
}

static void on_cancel(struct ipc_request *req, void *arg)
{
	waiting_free(arg);
	ipc_reply_done(req);
}

void on_container_wait(struct ipc_request *req, struct container_wait *m, struct runtimed *rt)
{
	struct container *c = request_container(rt, req, m->id);

	if (!c)
		return;
	const char *condition = m->condition ? m->condition : "not-running";
	bool removed = str_eq(condition, "removed"), next = str_eq(condition, "next-exit");
	if (!removed && !next && !str_eq(condition, "not-running")) {
		ipc_fail(req, 400, "invalid condition: \"%s\"", condition);
		return;
	}
	struct waiting *w = XNEW(struct waiting);
	w->req = req;
	w->container = container_ref(c);
	w->removal = removed;
	ipc_chunk(req, NULL, 0);
	if (!removed && !next && !container_running(c) && !c->starting) {
		take_exit(w);
		answer(w);
		return;
	}
	ipc_request_on_cancel(req, on_cancel, w);
	container_wait(c, &w->waiter, (removed ? 0 : CE_EXIT | CE_GIVEN_UP) | CE_REMOVED, on_event);
}
