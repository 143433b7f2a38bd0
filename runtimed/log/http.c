/* http: as much of HTTP/1.1 as a client of one collector needs: a request with a body, the answer's status. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/util.h"
#include "runtimed/log/log.h"

#define HEAD_MAX 16384

/* A header's value within the head, NULL without it. */
static const char *header(const char *head, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = strstr(head, "\r\n"); p && p[2]; p = strstr(p + 2, "\r\n"))
		if (strncasecmp(p + 2, name, n) == 0 && p[2 + n] == ':')
			return p + 3 + n + strspn(p + 3 + n, " ");
	return NULL;
}

/* Read the head and as much of the body as came with it. */
static ssize_t read_head(struct sink *k, char head[HEAD_MAX + 1], char **body, struct err *e)
{
	size_t have = 0;

	while (have < HEAD_MAX) {
		ssize_t n = stream_read(&k->stream, &k->how, head + have, HEAD_MAX - have, e);
		if (n < 0)
			return n;
		if (n == 0)
			return err_set(e, -ECONNRESET, "the collector closed without an answer");
		have += (size_t)n;
		head[have] = '\0';
		*body = strstr(head, "\r\n\r\n");
		if (*body) {
			**body = '\0';
			*body += 4;
			return (ssize_t)have;
		}
	}
	return err_set(e, -EPROTO, "the collector's answer has too long a head");
}

int http_answer(struct sink *k, int *status, char *text, size_t size, struct err *e)
{
	AUTO_FREE char *head = xcalloc(HEAD_MAX + 1, 1);
	char *body = NULL;
	ssize_t have = read_head(k, head, &body, e);

	if (have < 0)
		return (int)have;
	if (sscanf(head, "HTTP/1.%*1[01] %3d", status) != 1)
		return err_set(e, -EPROTO, "the collector's answer is no HTTP");
	const char *length = header(head, "Content-Length"), *connection = header(head, "Connection");
	size_t in_body = (size_t)have - (size_t)(body - head);
	snprintf(text, size, "%.*s", (int)in_body, body);
	size_t rest = length ? strtoul(length, NULL, 10) : 0;
	char more[4096];
	while (length && rest > in_body) {
		ssize_t n = stream_read(&k->stream, &k->how, more, sizeof more, e);
		if (n <= 0)
			return n < 0 ? (int)n : err_set(e, -ECONNRESET, "the collector's answer was cut");
		in_body += (size_t)n;
	}
	/* Without a length nobody knows where it ends, so it is not used again. */
	if ((!length && *status != 204) || (connection && strncasecmp(connection, "close", 5) == 0))
		stream_close(&k->stream);
	return 0;
}
