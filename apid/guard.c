#include "apid/guard.h"

#include <string.h>

enum state {
	START,
	START_LF,
	METHOD,
	TARGET_FIRST,
	TARGET,
	VERSION,
	VERSION_END,
	LINE_LF,
	NAME_FIRST,
	NAME,
	VALUE,
	HEADER_LF,
	END_LF,
	DONE,
	BAD,
};

bool http_token_char(unsigned char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~", c);
}

static enum state bad(struct head_guard *g, const char *why)
{
	g->why = why;
	return BAD;
}

static enum state line_feed(struct head_guard *g, unsigned char c, enum state next)
{
	return c == '\n' ? next : bad(g, "a CR without LF");
}

static enum state step_version(struct head_guard *g, unsigned char c)
{
	static const char text[] = "HTTP/1.";

	if (g->version < sizeof text - 1)
		return c == (unsigned char)text[g->version++]
			       ? VERSION
			       : bad(g, "the request line does not end with HTTP/1.0 or HTTP/1.1");
	return c == '0' || c == '1' ? VERSION_END : bad(g, "the version is neither HTTP/1.0 nor HTTP/1.1");
}

static enum state step_line(struct head_guard *g, enum state s, unsigned char c)
{
	switch (s) {
	case START:
		if (c == '\r' && !g->blank)
			return START_LF;
		return http_token_char(c) ? METHOD : bad(g, "the request does not begin with a method");
	case METHOD:
		if (c == ' ')
			return TARGET_FIRST;
		return http_token_char(c) ? METHOD : bad(g, "a byte in the method that is no letter");
	case TARGET_FIRST:
		return c == '/' ? TARGET : bad(g, "the target is not an absolute path");
	case TARGET:
		if (c == ' ')
			return VERSION;
		return c > 0x20 && c < 0x7f && c != '#' ? TARGET
							: bad(g, "a byte in the target that must be percent-encoded");
	case VERSION:
		return step_version(g, c);
	default: /* VERSION_END */
		return c == '\r' ? LINE_LF : bad(g, "the request line does not end behind the version");
	}
}

static enum state step_header(struct head_guard *g, enum state s, unsigned char c)
{
	switch (s) {
	case NAME_FIRST:
		if (c == '\r')
			return END_LF;
		if (c == ' ' || c == '\t')
			return bad(g, "a folded header line");
		return http_token_char(c) ? NAME : bad(g, "a header without a name");
	case NAME:
		if (c == ':')
			return VALUE;
		return http_token_char(c) ? NAME : bad(g, "a byte in a header's name that is not allowed");
	default: /* VALUE */
		if (c == '\r')
			return HEADER_LF;
		if (c == '\n')
			return bad(g, "a LF without CR");
		return c == '\t' || (c >= 0x20 && c != 0x7f) ? VALUE : bad(g, "a control byte in a header");
	}
}

static enum state step(struct head_guard *g, unsigned char c)
{
	enum state s = (enum state)g->state;

	switch (s) {
	case START_LF:
		g->blank = true;
		return line_feed(g, c, START);
	case LINE_LF:
	case HEADER_LF:
		return line_feed(g, c, NAME_FIRST);
	case END_LF:
		return line_feed(g, c, DONE);
	case NAME_FIRST:
	case NAME:
	case VALUE:
		return step_header(g, s, c);
	default:
		return step_line(g, s, c);
	}
}

enum guard_result head_guard_feed(struct head_guard *g, const char *data, size_t len, size_t max, size_t *used)
{
	for (size_t i = 0; i < len; i++) {
		if (++g->seen > max)
			return GUARD_LARGE;
		g->state = (unsigned char)step(g, (unsigned char)data[i]);
		if (g->state == BAD)
			return GUARD_BAD;
		if (g->state == DONE) {
			*used = i + 1;
			return GUARD_DONE;
		}
	}
	return GUARD_MORE;
}
