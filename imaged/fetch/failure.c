#include "imaged/fetch/failure.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "ipc/grammar.h"
#include "lib/json.h"

#define SAID_MAX 300

char *text_clean(char *out, size_t size, const char *text, size_t len)
{
	size_t n = 0;
	bool utf8 = grammar_utf8(text, len);

	for (size_t i = 0; i < len && n + 1 < size; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c >= 0x20 && c != 0x7f && (c < 0x80 || utf8))
			out[n++] = (char)c;
	}
	out[n] = '\0';
	/* Cut in the middle of a sequence? */
	while (n && !grammar_utf8(out, n))
		out[--n] = '\0';
	return out;
}

/* {"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]} */
static bool first_error(const struct response *r, char code[SAID_MAX], char message[SAID_MAX])
{
	const struct json_bounds bounds = JSON_BOUNDS_DOCUMENT;
	json_t *doc = NULL;

	if (!r->body || json_parse(r->body, r->len, &bounds, &doc, NULL) < 0)
		return false;
	json_t *first = json_array_get(json_object_get(doc, "errors"), 0);
	const char *c = json_string_value(json_object_get(first, "code"));
	const char *m = json_string_value(json_object_get(first, "message"));
	if (!m)
		m = json_string_value(json_object_get(doc, "details")); /* token services */
	text_clean(code, SAID_MAX, c ? c : "", c ? strlen(c) : 0);
	text_clean(message, SAID_MAX, m ? m : "", m ? strlen(m) : 0);
	for (char *p = code; *p; p++)
		*p = *p == '_' ? ' ' : (char)tolower((unsigned char)*p);
	json_decref(doc);
	return *code || *message;
}

int failure_of_response(const struct response *r, struct err *e)
{
	char code[SAID_MAX], message[SAID_MAX];
	bool said = first_error(r, code, message);
	int status = r->status == 401 || r->status == 403 || r->status == 404 || r->status == 429 ? r->status : 500;

	if (said && *code)
		return err_http(e, status, "%s: %s", code, *message ? message : "the registry says no more");
	if (said)
		return err_http(e, status, "%s", message);
	if (r->status == 401)
		return err_http(e, 401, "unauthorized: authentication required");
	if (r->status == 429)
		return err_http(e, 429, "toomanyrequests: the registry answers no more requests for now");
	return err_http(e, status, "received unexpected HTTP status: %d", r->status);
}
