#include "imaged/fetch/answer.h"

struct answer {
	struct ipc_request *req;
	struct ask *ask;
};

static void on_cancel(struct ipc_request *req, void *arg)
{
	struct answer *x = arg;

	ask_free(x->ask);
	free(x);
	ipc_fail(req, 499, "cancelled");
}

static void on_done(void *arg, struct response *r, const struct url *url, const struct err *e)
{
	struct answer x = *(struct answer *)arg;

	(void)url;
	free(arg);
	ipc_request_on_cancel(x.req, NULL, NULL);
	if (e) {
		ipc_reply_error(x.req, e);
		return;
	}
	bool digest = *r->digest && grammar_check(G_DIGEST, r->digest, strlen(r->digest));
	bool type = grammar_check(G_TEXT, r->type, strlen(r->type));
	ipc_reply(x.req, &(struct fetched){
				 .body = {.data = r->body ? r->body : "", .len = r->len},
				 .type = type ? r->type : NULL,
				 .digest = digest ? r->digest : NULL,
				 .size = r->length > 0 ? (uint64_t)r->length : 0,
			 });
}

static const struct ask_events events = {.done = on_done};

void answer_fetched(struct ipc_request *req, struct worker *w, const struct ask_request *request)
{
	struct answer *x = XNEW(struct answer);

	x->req = req;
	x->ask = ask_new(w, request, &events, x);
	ipc_request_on_cancel(req, on_cancel, x);
}

char *scope_of(const char *repository, const char *actions)
{
	return xasprintf("repository:%s:%s", repository, actions);
}
