#include "runtimed/ancestor.h"

#include "runtimed/runtimed.h"

#define ASK_MS 10000

struct asking {
	struct ipc_request *req;
	struct runtimed *rt;
	struct ipc_call *call;
	void (*then)(struct ipc_request *req, struct runtimed *rt, const json_t *images);
};

static void on_answer(void *arg, void *reply, const struct err *e)
{
	struct asking x = *(struct asking *)arg;
	const struct images_descended *m = reply;

	free(arg);
	ipc_request_on_cancel(x.req, NULL, NULL);
	if (e)
		ipc_reply_error(x.req, e);
	else
		x.then(x.req, x.rt, m->images.json);
}

static void on_cancel(struct ipc_request *req, void *arg)
{
	struct asking *x = arg;

	ipc_call_cancel(x->call);
	free(x);
	ipc_fail(req, 499, "the client has gone");
}

int ancestor_ask(struct ipc_request *req, struct runtimed *rt, json_t *names,
		 void (*then)(struct ipc_request *req, struct runtimed *rt, const json_t *images), struct err *e)
{
	static const struct ipc_call_events events = {.done = on_answer};
	static const struct ipc_call_options options = {.deadline_ms = ASK_MS, .repeatable = true};
	struct image_descendants m = {.images.json = names};
	struct asking *x = XNEW(struct asking);

	*x = (struct asking){.req = req, .rt = rt, .then = then};
	x->call = ipc_call(rt->imaged, IPC_image_descendants, &m, &options, &events, x, e);
	if (!x->call) {
		free(x);
		return e->code;
	}
	ipc_request_on_cancel(req, on_cancel, x);
	return 0;
}
