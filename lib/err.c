#include "lib/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/util.h"

/* One row ties a status of the API to the errno that helpers speak; the first row of a code wins. */
static const struct {
	int status;
	int code;
} statuses[] = {
	{400, -EINVAL}, {401, -EACCES},	      {403, -EPERM},	  {404, -ENOENT},	{405, -EOPNOTSUPP},
	{408, -ETIME},	{409, -EEXIST},	      {413, -EFBIG},	  {429, -EUSERS},	{431, -E2BIG},
	{500, -EIO},	{501, -ENOSYS},	      {502, -EBADMSG},	  {503, -EBUSY},	{504, -ETIMEDOUT},
	{507, -ENOSPC}, {507, -EDQUOT},	      {503, -ECONNRESET}, {503, -ECONNREFUSED}, {503, -EPIPE},
	{503, -EAGAIN}, {400, -ENAMETOOLONG}, {400, -ERANGE},	  {400, -EILSEQ},	{409, -EADDRINUSE},
	{404, -ESRCH},
};

int err_code_of_status(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		if (statuses[i].status == status)
			return statuses[i].code;
	return -EIO;
}

int err_status(const struct err *e)
{
	if (e->status)
		return e->status;
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		if (statuses[i].code == e->code)
			return statuses[i].status;
	return 500;
}

/* A cut must not leave half a character: JSON answers carry this text. */
static void trim_partial_utf8(char *s)
{
	size_t n = strlen(s);
	size_t tail = 0;

	while (tail < n && tail < 3 && ((unsigned char)s[n - 1 - tail] & 0xc0) == 0x80)
		tail++;
	if (tail == n || n == 0)
		return;
	unsigned char lead = (unsigned char)s[n - 1 - tail];
	size_t want = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
	if (tail < want)
		s[n - 1 - tail] = '\0';
}

int err_setv(struct err *e, int code, const char *fmt, va_list ap)
{
	if (!e)
		return code;
	e->code = code;
	e->status = 0;
	int n = vsnprintf(e->text, sizeof e->text, fmt, ap);
	if (n < 0)
		e->text[0] = '\0';
	else if ((size_t)n >= sizeof e->text)
		trim_partial_utf8(e->text);
	return code;
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_setv(e, code, fmt, ap);
	va_end(ap);
	return code;
}

int err_sys(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_setv(e, code, fmt, ap);
	va_end(ap);
	if (e) {
		size_t n = strlen(e->text);
		snprintf(e->text + n, sizeof e->text - n, ": %s", strerror(-code));
	}
	return code;
}

int err_http(struct err *e, int status, const char *fmt, ...)
{
	va_list ap;
	int code = err_code_of_status(status);

	va_start(ap, fmt);
	err_setv(e, code, fmt, ap);
	va_end(ap);
	if (e)
		e->status = status;
	return code;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
	char old[ERR_TEXT_MAX];
	va_list ap;

	if (!e)
		return -EIO;
	int code = e->code, status = e->status;
	memcpy(old, e->text, sizeof old);
	va_start(ap, fmt);
	err_setv(e, code, fmt, ap);
	va_end(ap);
	e->status = status;
	size_t n = strlen(e->text);
	int wrote = snprintf(e->text + n, sizeof e->text - n, ": %s", old);
	if (wrote >= 0 && (size_t)wrote >= sizeof e->text - n)
		trim_partial_utf8(e->text);
	return code;
}
