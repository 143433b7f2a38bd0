#include "ipc/grammar.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#define DIGIT  "0123456789"
#define LETTER "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define ALNUM  LETTER DIGIT
#define HEX    DIGIT "abcdef"
#define GRAPH  ALNUM "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

static bool all_in(const char *text, size_t len, const char *set)
{
	for (size_t i = 0; i < len; i++)
		if (!text[i] || !strchr(set, text[i]))
			return false;
	return true;
}

/* Length of the UTF-8 sequence at p (RFC 3629, table 3-7 of Unicode), 0 when it is malformed. */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
	if (p[0] < 0x80)
		return 1;
	size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || left < n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

bool grammar_utf8(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;

	for (size_t i = 0; i < len;) {
		size_t n = utf8_sequence(p + i, len - i);
		if (!n)
			return false;
		i += n;
	}
	return true;
}

static bool grammar_any(const char *text, size_t len)
{
	return memchr(text, '\0', len) == NULL;
}

static bool grammar_text(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if ((c < 0x20 && c != '\t' && c != '\n') || c == 0x7f)
			return false;
	}
	return grammar_utf8(text, len);
}

static bool grammar_headers(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len) {
		const char *line = text + at;
		const char *end = memmem(line, len - at, "\r\n", 2);
		if (!end)
			return false;
		const char *colon = memchr(line, ':', (size_t)(end - line));
		if (!colon || colon == line || !all_in(line, (size_t)(colon - line), ALNUM "-"))
			return false;
		for (const char *c = colon; c < end; c++)
			if ((unsigned char)*c < 0x20 || *c == 0x7f)
				return false;
		at += (size_t)(end - line) + 2;
	}
	return true;
}

static bool grammar_digest(const char *text, size_t len)
{
	/* https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests, registered algorithms only */
	if (len == 7 + 64 && memcmp(text, "sha256:", 7) == 0)
		return all_in(text + 7, 64, HEX);
	if (len == 7 + 128 && memcmp(text, "sha512:", 7) == 0)
		return all_in(text + 7, 128, HEX);
	return false;
}

/* The outer form only; imaged parses the reference (lib/reference.h). */
static bool grammar_image_ref(const char *text, size_t len)
{
	return all_in(text, len, ALNUM "_.-/:@[]+") && text[0] != '-' && text[0] != '/';
}

static bool grammar_path(const char *text, size_t len)
{
	return memchr(text, '\0', len) == NULL;
}

static bool grammar_abs_path(const char *text, size_t len)
{
	return text[0] == '/' && grammar_path(text, len);
}

static bool grammar_base64(const char *text, size_t len)
{
	return all_in(text, len, ALNUM "+/-_=");
}

/* Length of a decimal number of at most `max` at the beginning of text, 0 when there is none. */
static size_t leading_number(const char *text, size_t len, unsigned max)
{
	unsigned value = 0;
	size_t n = 0;

	while (n < len && n < 9 && text[n] >= '0' && text[n] <= '9')
		value = value * 10 + (unsigned)(text[n++] - '0');
	return value <= max ? n : 0;
}

static bool grammar_port(const char *text, size_t len)
{
	static const char *const protocols[] = {"", "/tcp", "/udp", "/sctp"};
	size_t at = leading_number(text, len, 65535);

	if (at == 0)
		return false;
	if (at < len && text[at] == '-') {
		size_t more = leading_number(text + at + 1, len - at - 1, 65535);
		if (more == 0)
			return false;
		at += 1 + more;
	}
	for (size_t i = 0; i < 4; i++)
		if (strlen(protocols[i]) == len - at && memcmp(protocols[i], text + at, len - at) == 0)
			return true;
	return false;
}

/* A device number or '*'. */
static size_t leading_device(const char *text, size_t len)
{
	return len && text[0] == '*' ? 1 : leading_number(text, len, 0xfffff);
}

static bool grammar_device_rule(const char *text, size_t len)
{
	if (len < 7 || !all_in(text, 1, "abc") || text[1] != ' ')
		return false;
	size_t at = 2, n = leading_device(text + at, len - at);
	if (n == 0 || at + n >= len || text[at + n] != ':')
		return false;
	at += n + 1;
	n = leading_device(text + at, len - at);
	if (n == 0 || at + n >= len || text[at + n] != ' ')
		return false;
	at += n + 1;
	return len - at >= 1 && len - at <= 3 && all_in(text + at, len - at, "rwm");
}

static bool is_address(int family, const char *text, size_t len)
{
	char copy[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (len >= sizeof copy)
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	return strlen(copy) == len && inet_pton(family, copy, &address) == 1;
}

static bool grammar_ipv4(const char *text, size_t len)
{
	return is_address(AF_INET, text, len);
}

static bool grammar_ipv6(const char *text, size_t len)
{
	return is_address(AF_INET6, text, len);
}

static bool grammar_ip(const char *text, size_t len)
{
	return grammar_ipv4(text, len) || grammar_ipv6(text, len);
}

static bool grammar_cidr(const char *text, size_t len)
{
	const char *slash = memchr(text, '/', len);

	if (!slash)
		return false;
	size_t address = (size_t)(slash - text), bits = len - address - 1;
	if (bits == 0 || bits > 3)
		return false;
	return (grammar_ipv4(text, address) && leading_number(slash + 1, bits, 32) == bits) ||
	       (grammar_ipv6(text, address) && leading_number(slash + 1, bits, 128) == bits);
}

static bool grammar_mac(const char *text, size_t len)
{
	if (len != 17)
		return false;
	for (size_t i = 0; i < len; i++)
		if (i % 3 == 2 ? text[i] != ':' && text[i] != '-' : !all_in(text + i, 1, HEX "ABCDEF"))
			return false;
	return true;
}

/* What an OCI runtime takes as orders rather than as remarks stays the engine's. */
static bool grammar_annotation(const char *text, size_t len)
{
	static const char *const ours[] = {"run.oci.", "org.systemd.property."};

	for (size_t i = 0; i < 2; i++)
		if (len >= strlen(ours[i]) && memcmp(text, ours[i], strlen(ours[i])) == 0)
			return false;
	return grammar_text(text, len);
}

static const struct {
	const char *first, *rest;
	bool (*check)(const char *text, size_t len);
	const char *words;
} grammars[G_COUNT] = {
#define SET(id, first, rest, words) [G_##id] = {first, rest, NULL, words},
#define CHECK(id, function, words)  [G_##id] = {NULL, NULL, function, words},
#include "ipc/grammar.def"
#undef SET
#undef CHECK
};

bool grammar_check(enum grammar g, const char *text, size_t len)
{
	if ((unsigned)g >= G_COUNT)
		return false;
	if (len == 0)
		return true;
	if (grammars[g].check)
		return grammars[g].check(text, len);
	return all_in(text, 1, grammars[g].first) && all_in(text + 1, len - 1, grammars[g].rest);
}

const char *grammar_words(enum grammar g)
{
	return (unsigned)g < G_COUNT ? grammars[g].words : "?";
}
