#include "netd/dns/packet.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/util.h"

#define FLAG_ANSWER	0x80 /* of byte 2 */
#define FLAG_TRUNCATED	0x02
#define FLAG_RECURSION	0x01 /* wanted */
#define FLAG_RECURSIVE	0x80 /* of byte 3: available */
#define OPCODE(byte)	(((byte) >> 3) & 15)
#define LABEL_MAX	63
#define OPT_SIZE	11
#define POINTER_TO_NAME 0xc00c /* the question's, right behind the header */

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, unsigned value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static void put32(uint8_t *p, uint32_t value)
{
	put16(p, value >> 16);
	put16(p + 2, value & 0xffff);
}

uint16_t packet_id(const uint8_t *message)
{
	return get16(message);
}

void packet_set_id(uint8_t *message, uint16_t id)
{
	put16(message, id);
}

enum packet_rcode packet_rcode(const uint8_t *message)
{
	return message[3] & 15;
}

/* ---- reading ---- */

/* A question's name, which cannot be compressed: nothing is in front of it. 0, or where it ends. */
static size_t read_name(const uint8_t *bytes, size_t len, size_t at, char *name)
{
	const size_t start = at;
	size_t n = 0;
	bool plain = true;

	for (;;) {
		if (at >= len || bytes[at] > LABEL_MAX)
			return 0;
		const size_t label = bytes[at++];
		if (label == 0)
			break;
		if (at + label > len || at + label - start >= PACKET_NAME_MAX)
			return 0;
		if (n)
			name[n++] = '.';
		for (size_t i = 0; i < label; i++) {
			const uint8_t c = bytes[at + i];
			plain = plain && c > ' ' && c < 127 && c != '.';
			name[n++] = (char)tolower(c);
		}
		at += label;
	}
	name[plain ? n : 0] = '\0';
	return at;
}

/* Where a name ends that may be compressed; 0 when it does not. */
static size_t skip_name(const uint8_t *bytes, size_t len, size_t at)
{
	while (at < len && bytes[at] != 0) {
		if (bytes[at] >= 0xc0)
			return at + 2 <= len ? at + 2 : 0;
		if (bytes[at] > LABEL_MAX)
			return 0;
		at += 1u + bytes[at];
	}
	return at < len ? at + 1 : 0;
}

/* The OPT record among what follows the question. */
static int read_edns(struct packet_query *q)
{
	const uint8_t *b = q->bytes;
	const int records = get16(b + 6) + get16(b + 8) + get16(b + 10);
	size_t at = q->end;

	for (int i = 0; i < records; i++) {
		const size_t fixed = skip_name(b, q->len, at);

		if (!fixed || fixed + 10 > q->len || fixed + 10 + get16(b + fixed + 8) > q->len)
			return RCODE_FORMAT;
		at = fixed + 10 + get16(b + fixed + 8);
		if (get16(b + fixed) != TYPE_OPT)
			continue;
		if (q->edns)
			return RCODE_FORMAT;
		q->edns = true;
		if (get16(b + fixed + 2) > q->room)
			q->room = get16(b + fixed + 2);
		if (b[fixed + 5] != 0)
			return RCODE_BAD_VERSION;
	}
	return RCODE_OK;
}

int packet_parse(const uint8_t *bytes, size_t len, struct packet_query *q)
{
	*q = (struct packet_query){.bytes = bytes, .len = len, .room = PACKET_UDP_PLAIN};
	if (len < PACKET_HEADER || bytes[2] & FLAG_ANSWER)
		return -EBADMSG;
	if (OPCODE(bytes[2]) != 0)
		return RCODE_NOT_IMPLEMENTED;
	if (get16(bytes + 4) != 1)
		return RCODE_FORMAT;
	const size_t name_end = read_name(bytes, len, PACKET_HEADER, q->name);
	if (!name_end || name_end + 4 > len)
		return RCODE_FORMAT;
	q->type = get16(bytes + name_end);
	q->class = get16(bytes + name_end + 2);
	q->end = name_end + 4;
	return read_edns(q);
}

/* The name in any case (lengths of labels are below 'A'), type and class exactly. */
static bool same_question(const uint8_t *a, const uint8_t *b, size_t len)
{
	for (size_t i = 0; i < len - 4; i++)
		if (tolower(a[i]) != tolower(b[i]))
			return false;
	return memcmp(a + len - 4, b + len - 4, 4) == 0;
}

bool packet_answers(const struct packet_query *q, uint16_t id, const uint8_t *answer, size_t len)
{
	return len >= q->end && answer[2] & FLAG_ANSWER && get16(answer) == id && get16(answer + 4) == 1 &&
	       same_question(answer + PACKET_HEADER, q->bytes + PACKET_HEADER, q->end - PACKET_HEADER);
}

/* ---- writing ---- */

void packet_begin(struct packet_answer *a, const struct packet_query *q, uint8_t *bytes, size_t room)
{
	const size_t question = q->end ? q->end - PACKET_HEADER : 0;

	*a = (struct packet_answer){.bytes = bytes, .len = PACKET_HEADER + question, .room = room - OPT_SIZE};
	memset(bytes, 0, PACKET_HEADER);
	memcpy(bytes, q->bytes, 2);
	bytes[2] = FLAG_ANSWER | (q->bytes[2] & (0x78 | FLAG_RECURSION));
	bytes[3] = FLAG_RECURSIVE;
	bytes[5] = question != 0;
	memcpy(bytes + PACKET_HEADER, q->bytes + PACKET_HEADER, question);
}

/* Place for a record of the name asked with `size` bytes of data; NULL when there is none. */
static uint8_t *add_record(struct packet_answer *a, enum packet_type type, size_t size)
{
	uint8_t *p = a->bytes + a->len;

	if (a->truncated || a->len + 12 + size > a->room) {
		a->truncated = true;
		return NULL;
	}
	put16(p, POINTER_TO_NAME);
	put16(p + 2, type);
	put16(p + 4, CLASS_IN);
	put32(p + 6, PACKET_TTL);
	put16(p + 10, (unsigned)size);
	a->len += 12 + size;
	a->count++;
	return p + 12;
}

void packet_add_address(struct packet_answer *a, sa_family_t family, const uint8_t *address)
{
	const size_t size = family == AF_INET ? 4 : 16;
	uint8_t *p = add_record(a, family == AF_INET ? TYPE_A : TYPE_AAAA, size);

	if (p)
		memcpy(p, address, size);
}

/* A name that is none (a label that is empty or too long) becomes no record. */
void packet_add_ptr(struct packet_answer *a, const char *name)
{
	uint8_t encoded[PACKET_NAME_MAX];
	size_t n = 0;

	for (const char *p = name; *p; p += *p == '.') {
		const size_t label = strcspn(p, ".");

		if (label == 0 || label > LABEL_MAX || n + label + 2 > sizeof encoded)
			return;
		encoded[n++] = (uint8_t)label;
		memcpy(encoded + n, p, label);
		n += label;
		p += label;
	}
	encoded[n++] = 0;
	uint8_t *to = add_record(a, TYPE_PTR, n);
	if (to)
		memcpy(to, encoded, n);
}

void packet_finish(struct packet_answer *a, const struct packet_query *q, enum packet_rcode rcode)
{
	uint8_t *opt = a->bytes + a->len;

	a->bytes[2] |= a->truncated ? FLAG_TRUNCATED : 0;
	a->bytes[3] |= (uint8_t)(rcode & 15);
	put16(a->bytes + 6, a->count);
	if (!q->edns)
		return;
	memset(opt, 0, OPT_SIZE);
	put16(opt + 1, TYPE_OPT);
	put16(opt + 3, PACKET_UDP_MAX);
	opt[5] = (uint8_t)(rcode >> 4);
	put16(a->bytes + 10, 1);
	a->len += OPT_SIZE;
}

/* ---- addresses as names ---- */

static bool reverse4(const char *name, uint8_t *out)
{
	for (int i = 3; i >= 0; i--) {
		char *end;
		const unsigned long byte = isdigit((unsigned char)*name) ? strtoul(name, &end, 10) : 256;

		if (byte > 255 || *end != '.')
			return false;
		out[i] = (uint8_t)byte;
		name = end + 1;
	}
	return str_eq(name, "in-addr.arpa");
}

static bool reverse6(const char *name, uint8_t *out)
{
	static const char digits[] = "0123456789abcdef";

	memset(out, 0, 16);
	for (int i = 31; i >= 0; i--, name += 2) {
		const char *digit = *name ? strchr(digits, *name) : NULL;

		if (!digit || name[1] != '.')
			return false;
		out[i / 2] |= (uint8_t)((digit - digits) << (i % 2 ? 0 : 4));
	}
	return str_eq(name, "ip6.arpa");
}

bool packet_reverse(const char *name, sa_family_t *family, uint8_t *out)
{
	if (reverse4(name, out))
		*family = AF_INET;
	else if (reverse6(name, out))
		*family = AF_INET6;
	else
		return false;
	return true;
}
