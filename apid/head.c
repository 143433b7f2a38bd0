#include "apid/head.h"

#include <errno.h>
#include <llhttp.h>
#include <strings.h>

#include "apid/guard.h"
#include "lib/util.h"

struct span {
	size_t at, len;
};

/* What llhttp tells, as places in the text, so that the text can be cut into strings afterwards. */
struct parse {
	const char *text;
	struct span method, target;
	struct span names[HTTP_HEADERS_MAX], values[HTTP_HEADERS_MAX];
	size_t count;
	bool too_many;
};

static void extend(struct parse *p, struct span *s, const char *at, size_t len)
{
	if (s->len == 0)
		s->at = (size_t)(at - p->text);
	s->len += len;
}

static int on_method(llhttp_t *l, const char *at, size_t len)
{
	struct parse *p = l->data;

	extend(p, &p->method, at, len);
	return 0;
}

static int on_url(llhttp_t *l, const char *at, size_t len)
{
	struct parse *p = l->data;

	extend(p, &p->target, at, len);
	return 0;
}

static int on_name(llhttp_t *l, const char *at, size_t len)
{
	struct parse *p = l->data;

	if (p->count == HTTP_HEADERS_MAX) {
		p->too_many = true;
		return HPE_USER;
	}
	extend(p, &p->names[p->count], at, len);
	return 0;
}

static int on_value(llhttp_t *l, const char *at, size_t len)
{
	struct parse *p = l->data;

	extend(p, &p->values[p->count], at, len);
	return 0;
}

static int on_value_complete(llhttp_t *l)
{
	struct parse *p = l->data;

	if (++p->count < HTTP_HEADERS_MAX)
		p->names[p->count].len = p->values[p->count].len = 0;
	return 0;
}

static int on_headers_complete(llhttp_t *l)
{
	(void)l;
	return HPE_PAUSED; /* the body is http_body's */
}

static const llhttp_settings_t settings = {
	.on_method = on_method,
	.on_url = on_url,
	.on_header_field = on_name,
	.on_header_value = on_value,
	.on_header_value_complete = on_value_complete,
	.on_headers_complete = on_headers_complete,
};

static int run_parser(const char *text, size_t len, struct parse *p, unsigned *minor, struct err *e)
{
	llhttp_t l;

	llhttp_init(&l, HTTP_REQUEST, &settings);
	l.data = p;
	llhttp_errno_t r = llhttp_execute(&l, text, len);
	*minor = llhttp_get_http_minor(&l);
	if (p->too_many)
		return err_http(e, 431, "more than %d headers", HTTP_HEADERS_MAX);
	if (r != HPE_PAUSED) {
		const char *why = llhttp_get_error_reason(&l);
		return err_http(e, 400, "malformed request: %s",
				r == HPE_OK || !why || !*why ? "incomplete head" : why);
	}
	return 0;
}

/* A NUL behind each part. What stood there is a separator, already read. */
static const char *cut(char *text, struct span s)
{
	while (s.len && (text[s.at + s.len - 1] == ' ' || text[s.at + s.len - 1] == '\t'))
		s.len--;
	if (!s.len)
		return "";
	text[s.at + s.len] = '\0';
	return text + s.at;
}

const char *http_header(const struct http_head *h, const char *name)
{
	for (size_t i = 0; i < h->nheaders; i++)
		if (strcasecmp(h->headers[i].name, name) == 0)
			return h->headers[i].value;
	return NULL;
}

static size_t count_header(const struct http_head *h, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < h->nheaders; i++)
		n += strcasecmp(h->headers[i].name, name) == 0;
	return n;
}

bool http_has_token(const char *value, const char *token)
{
	size_t want = strlen(token);

	while (value && *value) {
		value += strspn(value, " \t,");
		size_t n = strcspn(value, ","), word = n;
		while (word && (value[word - 1] == ' ' || value[word - 1] == '\t'))
			word--;
		if (word == want && strncasecmp(value, token, word) == 0)
			return true;
		value += n;
	}
	return false;
}

static int parse_length(const char *text, uint64_t *out)
{
	uint64_t v = 0;

	if (!*text || strlen(text) > 18)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		v = v * 10 + (uint64_t)(*text - '0');
	}
	*out = v;
	return 0;
}

static int read_framing(struct http_head *h, struct err *e)
{
	static const char *const single[] = {"Content-Length", "Transfer-Encoding", "Host", "Content-Type", "Expect"};
	const char *length = http_header(h, "Content-Length");
	const char *coding = http_header(h, "Transfer-Encoding");

	for (size_t i = 0; i < ARRAY_LEN(single); i++)
		if (count_header(h, single[i]) > 1)
			return err_http(e, 400, "malformed request: header %s is given twice", single[i]);
	if (h->minor == 1 && !http_header(h, "Host"))
		return err_http(e, 400, "malformed request: header Host is missing");
	if (length && coding)
		return err_http(e, 400, "malformed request: both Content-Length and Transfer-Encoding");
	if (coding) {
		if (h->minor == 0 || strcasecmp(coding, "chunked") != 0)
			return err_http(e, 400, "malformed request: the only transfer coding is chunked, in HTTP/1.1");
		h->framing = FRAMED_CHUNKED;
	} else if (length) {
		if (parse_length(length, &h->length) < 0)
			return err_http(e, 400, "malformed request: Content-Length is not a number of bytes");
		h->framing = h->length ? FRAMED_LENGTH : FRAMED_NONE;
	}
	return 0;
}

static int read_intent(struct http_head *h, struct err *e)
{
	const char *expect = http_header(h, "Expect");
	bool close = false, keep = false, upgrade = false;

	for (size_t i = 0; i < h->nheaders; i++) {
		if (strcasecmp(h->headers[i].name, "Connection") != 0)
			continue;
		close |= http_has_token(h->headers[i].value, "close");
		keep |= http_has_token(h->headers[i].value, "keep-alive");
		upgrade |= http_has_token(h->headers[i].value, "upgrade");
	}
	h->keep_alive = !close && (h->minor == 1 || keep);
	h->upgrade = upgrade && http_header(h, "Upgrade");
	if (expect && strcasecmp(expect, "100-continue") != 0)
		return err_http(e, 417, "Expect: the only expectation that can be met is 100-continue");
	h->expect_continue = expect && h->minor == 1 && h->framing != FRAMED_NONE;
	return 0;
}

int http_head_parse(const char *bytes, size_t len, struct http_head *h, struct err *e)
{
	struct parse p UNINITIALIZED;

	h->text = xcalloc(1, len + 1);
	memcpy(h->text, bytes, len);
	p.text = h->text;
	p.method.len = p.target.len = p.names[0].len = p.values[0].len = 0;
	p.count = 0;
	p.too_many = false;
	h->headers = NULL;
	h->nheaders = 0;
	h->framing = FRAMED_NONE;
	h->length = 0;
	int r = run_parser(h->text, len, &p, &h->minor, e);
	if (r < 0)
		return r;
	h->method = cut(h->text, p.method);
	h->target = cut(h->text, p.target);
	h->headers = xcalloc(p.count + 1, sizeof *h->headers);
	for (size_t i = 0; i < p.count; i++)
		h->headers[i] = (struct http_header){cut(h->text, p.names[i]), cut(h->text, p.values[i])};
	h->nheaders = p.count;
	r = read_framing(h, e);
	return r < 0 ? r : read_intent(h, e);
}

void http_head_clean(struct http_head *h)
{
	free(STEAL(h->headers));
	free_cleared(STEAL(h->text));
}
