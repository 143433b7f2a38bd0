#include "netd/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool address_parse(const char *text, struct address *out)
{
	*out = (struct address){0};
	if (!text)
		return false;
	if (inet_pton(AF_INET, text, out->bytes) == 1)
		out->family = AF_INET;
	else if (inet_pton(AF_INET6, text, out->bytes) == 1)
		out->family = AF_INET6;
	return out->family != 0;
}

bool subnet_parse(const char *text, struct subnet *out)
{
	char address[ADDRESS_TEXT], *end;
	const char *slash = text ? strchr(text, '/') : NULL;

	*out = (struct subnet){0};
	if (!slash || (size_t)(slash - text) >= sizeof address)
		return false;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	if (slash[1] < '0' || slash[1] > '9' || !address_parse(address, &out->address))
		return false;
	const unsigned long prefix = strtoul(slash + 1, &end, 10);
	out->prefix = (unsigned)prefix;
	return *end == '\0' && prefix <= 8 * address_size(&out->address);
}

const char *address_text(const struct address *a, char *buf)
{
	if (!a->family || !inet_ntop(a->family, a->bytes, buf, ADDRESS_TEXT))
		buf[0] = '\0';
	return buf;
}

const char *subnet_text(const struct subnet *s, char *buf)
{
	address_text(&s->address, buf);
	if (*buf)
		snprintf(buf + strlen(buf), ADDRESS_TEXT - strlen(buf), "/%u", s->prefix);
	return buf;
}

size_t address_size(const struct address *a)
{
	return a->family == AF_INET ? 4 : 16;
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, address_size(a)) == 0;
}

struct address subnet_base(const struct subnet *s)
{
	struct address base = s->address;

	for (unsigned i = 0; i < address_size(&base); i++) {
		if (8 * i >= s->prefix)
			base.bytes[i] = 0;
		else if (8 * (i + 1) > s->prefix)
			base.bytes[i] &= (unsigned char)(0xff << (8 * (i + 1) - s->prefix));
	}
	return base;
}

bool subnet_contains(const struct subnet *s, const struct address *a)
{
	const struct subnet of = {*a, s->prefix};
	const struct address x = subnet_base(s), y = subnet_base(&of);

	return s->address.family == a->family && address_equal(&x, &y);
}

bool subnet_overlaps(const struct subnet *a, const struct subnet *b)
{
	return a->prefix <= b->prefix ? subnet_contains(a, &b->address) : subnet_contains(b, &a->address);
}

struct address subnet_at(const struct subnet *s, uint64_t n)
{
	struct address a = subnet_base(s);

	for (size_t i = address_size(&a); n && i-- > 0; n >>= 8) {
		const unsigned sum = a.bytes[i] + (unsigned)(n & 0xff);

		a.bytes[i] = (unsigned char)sum;
		n += sum & 0x100; /* the carry, for the next round */
	}
	return a;
}

uint64_t subnet_offset(const struct subnet *s, const struct address *a)
{
	const struct address base = subnet_base(s);
	const size_t size = address_size(a);
	uint64_t x = 0, y = 0;

	for (size_t i = size > 8 ? size - 8 : 0; i < size; i++) {
		x = x << 8 | a->bytes[i];
		y = y << 8 | base.bytes[i];
	}
	return x - y;
}

uint64_t subnet_count(const struct subnet *s)
{
	const unsigned host = 8 * (unsigned)address_size(&s->address) - s->prefix;

	return UINT64_C(1) << (host > 63 ? 63 : host);
}
