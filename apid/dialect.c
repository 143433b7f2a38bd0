#include "apid/dialect.h"

#include "apid/exchange.h"
#include "lib/util.h"

bool dialect_rewrite(const struct exchange *x, int *status, const char *text, size_t len, char **out)
{
	(void)x;
	(void)status;
	(void)text;
	(void)len;
	(void)out;
	return false;
}

const char *dialect_stream_type(const struct exchange *x, const char *content_type)
{
	if (x->target.minor < 42 && str_eq(content_type, "application/vnd.docker.multiplexed-stream"))
		return "application/vnd.docker.raw-stream";
	return content_type;
}
