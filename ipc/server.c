#include "ipc/server.h"

#include <errno.h>
#include <sys/socket.h>

#include "ipc/request.h"
#include "lib/log.h"
#include "lib/util.h"

/* ---- peers ---- */

static void peer_drop(struct ipc_peer *peer)
{
	struct ipc_server *s = peer->server;
	struct ipc_request *req;

	while ((req = TAILQ_FIRST(&peer->requests)))
		request_orphan(req);
	TAILQ_REMOVE(&s->peers, peer, next);
	channel_free(peer->channel);
	free(peer);
	if (TAILQ_EMPTY(&s->peers) && s->idle)
		s->idle(s->idle_arg);
}

static void peer_violation(struct ipc_peer *peer, const char *what)
{
	log_error("peer %s (uid %u, pid %d) dropped: %s", peer->process ? process_name(peer->process) : "?",
		  (unsigned)peer->uid, (int)peer->pid, what);
	peer_drop(peer);
}

/* The first message: who the peer says that it is must be who the kernel says that it is. */
static void peer_hello(struct ipc_peer *peer, const struct ipc_head *head, const struct hello *hello)
{
	const struct ipc_server_config *c = &peer->server->config;
	struct hello answer = {.schema = ipc_schema_hash(), .process = c->self};
	const struct ipc_head reply = {.message = ipc_message(IPC_hello), .kind = K_HELLO};
	enum process_id claimed = (enum process_id)hello->process;
	struct err e;

	(void)head;
	if (hello->schema != ipc_schema_hash()) {
		/* It is to know that waiting is of no use. */
		channel_send(peer->channel, &reply, &answer, NULL);
		peer_violation(peer, "it speaks another version of the messages (programs of different builds?)");
		return;
	}
	if (!process_name(claimed) || process_uid(claimed, c->ids_base) != peer->uid) {
		peer_violation(peer, "its uid does not belong to the process that it claims to be");
		return;
	}
	peer->process = claimed;
	if (channel_send(peer->channel, &reply, &answer, &e) < 0)
		peer_violation(peer, e.text);
}

static void peer_request(struct ipc_peer *peer, const struct ipc_head *head, void *msg)
{
	enum process_id owner = MSG_OWNER(head->message->number);

	if ((owner != PROC_NONE && owner != peer->server->config.self) ||
	    !(head->message->senders & (1u << peer->process)) || request_find(peer, head->id)) {
		log_error("refused: %s", head->message->name);
		channel_msg_free(head->message, msg);
		peer_violation(peer, "it sent a request that it may not send here");
		return;
	}
	request_start(peer, head, msg);
}

static bool is(const struct ipc_head *head, enum ipc_kind kind, uint16_t number)
{
	return head->kind == kind && head->message->number == number;
}

static void peer_message(void *arg, const struct ipc_head *head, void *msg)
{
	struct ipc_peer *peer = arg;

	if ((peer->process == PROC_NONE) != is(head, K_HELLO, IPC_hello)) {
		channel_msg_free(head->message, msg);
		peer_violation(peer, "HELLO is its first message and comes once");
		return;
	}
	if (head->kind == K_REQUEST) {
		peer_request(peer, head, msg);
		return;
	}
	struct ipc_request *req = request_find(peer, head->id);
	bool known = true;
	if (head->kind == K_HELLO)
		peer_hello(peer, head, msg);
	else if (is(head, K_CREDIT, IPC_credit))
		request_credit(req, ((struct credit *)msg)->bytes);
	else if (is(head, K_CANCEL, IPC_cancel))
		request_cancel(req);
	else if (is(head, K_GO, IPC_go))
		request_go(req, msg);
	else
		known = false;
	channel_msg_free(head->message, msg);
	if (!known)
		peer_violation(peer, "it sent a message that only a server sends");
}

static void peer_closed(void *arg, const struct err *why)
{
	struct ipc_peer *peer = arg;

	if (why->code != -ECONNRESET)
		log_warn("peer %s (pid %d): %s", peer->process ? process_name(peer->process) : "?", (int)peer->pid,
			 why->text);
	peer_drop(peer);
}

static const struct channel_events peer_events = {.message = peer_message, .closed = peer_closed};

int ipc_server_serve_fd(struct ipc_server *s, int take_fd, struct err *e)
{
	struct ucred cred;
	socklen_t n = sizeof cred;
	AUTO_CLOSE int fd = take_fd;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
		return err_sys(e, -errno, "read the peer's credentials");
	struct ipc_peer *peer = XNEW(struct ipc_peer);
	peer->server = s;
	peer->uid = cred.uid;
	peer->pid = cred.pid;
	TAILQ_INIT(&peer->requests);
	peer->channel = channel_new(s->base, STEAL_FD(fd), &peer_events, peer);
	TAILQ_INSERT_TAIL(&s->peers, peer, next);
	return 0;
}

/* ---- the listening socket ---- */

static void on_acceptable(evutil_socket_t listen_fd, short what, void *arg)
{
	static const struct timeval pause = {.tv_usec = 100000};
	struct ipc_server *s = arg;
	struct err e;

	(void)what;
	for (;;) {
		int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			if (ipc_server_serve_fd(s, fd, &e) < 0)
				log_error("%s", e.text);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN) {
			/* Out of descriptors or memory: the connection waits in the socket's queue. */
			log_error("accept: %s", strerror(errno));
			event_del(s->acceptable);
			event_add(s->accept_again, &pause);
		}
		return;
	}
}

static void on_accept_again(evutil_socket_t fd, short what, void *arg)
{
	struct ipc_server *s = arg;

	(void)fd;
	(void)what;
	event_add(s->acceptable, NULL);
}

int ipc_server_new(struct event_base *base, const struct ipc_server_config *config, struct ipc_server **out,
		   struct err *e)
{
	struct ipc_server *s = XNEW(struct ipc_server);

	s->base = base;
	s->config = *config;
	if (s->config.max_requests == 0)
		s->config.max_requests = 256;
	TAILQ_INIT(&s->peers);
	TAILQ_INIT(&s->held);
	if (config->listen_fd >= 0) {
		int r = fd_set_nonblock(config->listen_fd, e);
		if (r < 0) {
			free(s);
			return r;
		}
		s->acceptable = event_new(base, config->listen_fd, EV_READ | EV_PERSIST, on_acceptable, s);
		s->accept_again = evtimer_new(base, on_accept_again, s);
		event_add(s->acceptable, NULL);
	}
	*out = s;
	return 0;
}

void ipc_server_free(struct ipc_server *s)
{
	if (!s)
		return;
	struct ipc_request *req;
	while ((req = TAILQ_FIRST(&s->held))) {
		TAILQ_REMOVE(&s->held, req, held);
		ipc_fail(req, 503, "the process ends");
	}
	s->idle = NULL;
	while (!TAILQ_EMPTY(&s->peers))
		peer_drop(TAILQ_FIRST(&s->peers));
	if (s->acceptable)
		event_free(s->acceptable);
	if (s->accept_again)
		event_free(s->accept_again);
	s->freed = true;
	if (s->unanswered == 0)
		free(s);
}

void ipc_server_hold(struct ipc_server *s)
{
	s->hold = true;
}

void ipc_server_go_on(struct ipc_server *s)
{
	struct ipc_request *req;

	s->hold = false;
	while ((req = TAILQ_FIRST(&s->held))) {
		TAILQ_REMOVE(&s->held, req, held);
		request_run(req);
	}
}

void ipc_server_on_idle(struct ipc_server *s, void (*fn)(void *arg), void *arg)
{
	s->idle = fn;
	s->idle_arg = arg;
}
