/*
 * signin: are the credentials good? The registry's own base says so; its token service may hand out an identity token
 * with that, which the client keeps in place of the password.
 */
#include "imaged/fetch/ask.h"
#include "imaged/fetch/worker.h"

#define ANSWER_MAX (256u << 10)

struct signin {
	struct ipc_request *req;
	struct worker *w;
	struct ask *ask;
};

static void on_cancel(struct ipc_request *req, void *arg)
{
	struct signin *x = arg;

	ask_free(x->ask);
	free(x);
	ipc_fail(req, 499, "cancelled");
}

static void on_done(void *arg, struct response *r, const struct url *url, const struct err *e)
{
	struct signin x = *(struct signin *)arg;
	const struct secret *granted = x.w->login->granted;

	(void)r;
	(void)url;
	free(arg);
	ipc_request_on_cancel(x.req, NULL, NULL);
	if (e)
		ipc_reply_error(x.req, e);
	else
		ipc_reply(x.req,
			  &(struct authenticated){.identity_token = granted ? secret_reveal(granted, NULL) : NULL});
}

static const struct ask_events events = {.done = on_done};

void on_fetch_auth(struct ipc_request *req, struct fetch_auth *m, struct worker *w)
{
	if (!worker_ready(req, w, m->registry))
		return;
	struct signin *x = XNEW(struct signin);
	*x = (struct signin){.req = req, .w = w};
	w->login->offline = true;
	x->ask = ask_new(
		w,
		&(struct ask_request){.method = "GET", .path = "v2/", .scope = "", .file = -1, .max_body = ANSWER_MAX},
		&events, x);
	ipc_request_on_cancel(req, on_cancel, x);
}
