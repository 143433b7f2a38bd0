/* input: what clients type, on its way to the container. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/shim/shim.h"

void input_close(struct shim *s)
{
	if (s->in >= 0 && s->in != s->terminal)
		fd_close(&s->in);
	s->in = -1;
	s->input.from = s->input.to = 0;
}

void input_write(struct shim *s)
{
	while (s->in >= 0 && s->input.from < s->input.to) {
		ssize_t n = write(s->in, s->input.bytes + s->input.from, s->input.to - s->input.from);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			input_close(s);
			return;
		}
		s->input.from += (size_t)n;
	}
	s->input.from = s->input.to = 0;
	if (s->stdin_end && s->in >= 0)
		input_close(s);
}

void input_client_end(struct shim *s, struct client *c)
{
	if (!c->reading)
		return;
	c->reading = false;
	if (s->args.stdin_once && !s->args.tty) {
		s->stdin_end = true;
		input_write(s);
	}
}

bool input_client(struct shim *s, struct client *c)
{
	char typed[sizeof s->input.bytes - sizeof c->keys];
	ssize_t n;

	if (c->early_from < c->early_len) {
		n = (ssize_t)(c->early_len - c->early_from);
		if (n > (ssize_t)sizeof typed)
			n = sizeof typed;
		memcpy(typed, c->early + c->early_from, (size_t)n);
		c->early_from += (size_t)n;
	} else {
		n = recv(c->fd, typed, sizeof typed, MSG_DONTWAIT);
	}
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0) {
		input_client_end(s, c);
		return c->flags & (WIRE_OUT | WIRE_ERR);
	}
	ssize_t len = client_typed(c, typed, (size_t)n, s->input.bytes);
	if (len < 0) {
		control_tell(s, (struct wire_head){.type = WIRE_DETACHED}, NULL, 0, NULL, 0);
		c->reading = false;
		return false;
	}
	s->input.from = 0;
	s->input.to = (size_t)len;
	return true;
}

bool input_wanted(const struct shim *s, const struct client *c)
{
	return c->reading && s->started && s->in >= 0 && s->input.from == s->input.to;
}
