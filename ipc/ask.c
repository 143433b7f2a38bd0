#include "ipc/ask.h"

struct asking {
	struct ipc_request *req;
	struct ipc_call *call;
	void (*then)(struct ipc_request *req, void *reply, void *arg);
	void *arg;
};

static void on_answer(void *arg, void *reply, const struct err *e)
{
	struct asking x = *(struct asking *)arg;

	free(arg);
	ipc_request_on_cancel(x.req, NULL, NULL);
	if (e)
		ipc_reply_error(x.req, e);
	else
		x.then(x.req, reply, x.arg);
}

static void on_cancel(struct ipc_request *req, void *arg)
{
	struct asking *x = arg;

	ipc_call_cancel(x->call);
	free(x);
	ipc_fail(req, 499, "the client has left");
}

int ipc_ask(struct ipc_request *req, struct ipc_client *whom, uint16_t number, void *msg,
	    void (*then)(struct ipc_request *req, void *reply, void *arg), void *arg, struct err *e)
{
	static const struct ipc_call_events events = {.done = on_answer};
	static const struct ipc_call_options options = {.deadline_ms = IPC_ASK_MS, .repeatable = true};
	struct asking *x = XNEW(struct asking);

	*x = (struct asking){.req = req, .then = then, .arg = arg};
	x->call = ipc_call(whom, number, msg, &options, &events, x, e);
	if (!x->call) {
		free(x);
		return e->code;
	}
	ipc_request_on_cancel(req, on_cancel, x);
	return 0;
}
