#include "apid/body.h"

#include "lib/util.h"

#define SIZE_DIGITS_MAX 15

enum state { SIZE, SIZE_LF, CONTENT, CONTENT_CR, CONTENT_LF, END_CR, END_LF };

void http_body_init(struct http_body *b, enum http_framing framing, uint64_t length, uint64_t max)
{
	*b = (struct http_body){
		.framing = framing,
		.state = framing == FRAMED_LENGTH ? CONTENT : SIZE,
		.left = framing == FRAMED_LENGTH ? length : 0,
		.max = max,
		.done = framing == FRAMED_NONE,
	};
}

static int malformed(struct err *e, const char *what)
{
	return err_http(e, 400, "malformed request: %s", what);
}

static int hex(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int step_size(struct http_body *b, unsigned char c, struct err *e)
{
	int v = hex(c);

	if (v >= 0) {
		if (++b->digits > SIZE_DIGITS_MAX)
			return malformed(e, "the size of a chunk has too many digits");
		b->left = b->left * 16 + (uint64_t)v;
		return 0;
	}
	if (c == ';')
		return malformed(e, "a chunk with an extension");
	if (c != '\r' || !b->digits)
		return malformed(e, "the size of a chunk is no hexadecimal number");
	b->state = SIZE_LF;
	return 0;
}

static int step(struct http_body *b, unsigned char c, struct err *e)
{
	switch ((enum state)b->state) {
	case SIZE:
		return step_size(b, c, e);
	case CONTENT_CR:
		b->state = CONTENT_LF;
		return c == '\r' ? 0 : malformed(e, "a chunk that is longer than its size");
	case END_CR:
		b->state = END_LF;
		return c == '\r' ? 0 : malformed(e, "trailers are not accepted");
	default:
		break;
	}
	if (c != '\n')
		return malformed(e, "a CR without LF");
	switch ((enum state)b->state) {
	case SIZE_LF:
		b->state = b->left ? CONTENT : END_CR;
		break;
	case CONTENT_LF:
		b->state = SIZE;
		b->digits = 0;
		break;
	default: /* END_LF */
		b->done = true;
		break;
	}
	return 0;
}

static int take_content(struct http_body *b, size_t len, size_t *piece_len, struct err *e)
{
	size_t n = b->left < len ? (size_t)b->left : len;

	if (n > b->max - b->total)
		return err_http(e, 413, "the body is larger than %llu bytes", (unsigned long long)b->max);
	b->left -= n;
	b->total += n;
	*piece_len = n;
	if (!b->left && b->framing == FRAMED_LENGTH)
		b->done = true;
	else if (!b->left)
		b->state = CONTENT_CR;
	return 0;
}

int http_body_feed(struct http_body *b, const char *data, size_t len, size_t *used, const char **piece,
		   size_t *piece_len, struct err *e)
{
	size_t i = 0;
	int r = 0;

	*piece = NULL;
	*piece_len = 0;
	while (i < len && !b->done && b->state != CONTENT && r == 0)
		r = step(b, (unsigned char)data[i++], e);
	if (r == 0 && b->state == CONTENT && !b->done && i < len) {
		*piece = data + i;
		r = take_content(b, len - i, piece_len, e);
		i += *piece_len;
	}
	*used = i;
	return r;
}
