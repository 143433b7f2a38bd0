#include "lib/text.h"

#include "lib/util.h"

/* The last digits first, into the end of a buffer; then to their place. */
char *text_put_hex(char *to, uint64_t v, unsigned digits)
{
	char buf[16];
	size_t at = sizeof buf;

	do
		buf[--at] = "0123456789abcdef"[v & 15];
	while (v >>= 4);
	while (at && sizeof buf - at < digits)
		buf[--at] = '0';
	return text_put_bytes(to, buf + at, sizeof buf - at);
}

char *text_put_number(char *to, uint64_t v)
{
	char buf[20];
	size_t at = sizeof buf;

	do
		buf[--at] = (char)('0' + v % 10);
	while (v /= 10);
	return text_put_bytes(to, buf + at, sizeof buf - at);
}
