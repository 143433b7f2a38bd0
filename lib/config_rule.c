#include "lib/config_rule.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "lib/logopt.h"
#include "lib/util.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"
#define ALNUM LOWER UPPER DIGIT

const char *const config_words_listener[] = {
	[LISTENER_UNIX] = "unix", [LISTENER_TCP] = "tcp", [LISTENER_TLS] = "tls", NULL};
const char *const config_words_level[] = {[LOG_LEVEL_ERROR] = "error",
					  [LOG_LEVEL_WARN] = "warn",
					  [LOG_LEVEL_INFO] = "info",
					  [LOG_LEVEL_DEBUG] = "debug",
					  NULL};
const char *const config_words_sink[] = {
	[LOG_SINK_STDERR] = "stderr", [LOG_SINK_SYSLOG] = "syslog", [LOG_SINK_JOURNALD] = "journald", NULL};
const char *const config_words_bind[] = {[BIND_REFUSE] = "refuse", [BIND_PLAIN] = "plain", NULL};
const char *const config_words_copy[] = {
	[AUDIT_COPY_NONE] = "none", [AUDIT_COPY_SYSLOG] = "syslog", [AUDIT_COPY_JOURNALD] = "journald", NULL};

static bool first_and_rest(const char *s, const char *first, const char *rest)
{
	return *s && strchr(first, *s) && s[1 + strspn(s + 1, rest)] == '\0';
}

static bool is_any(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

static bool is_name(const char *s)
{
	return *s == '\0' || first_and_rest(s, ALNUM, ALNUM "_.-");
}

static bool is_user(const char *s)
{
	return *s == '\0' || first_and_rest(s, ALNUM "_", ALNUM "_.-$");
}

static bool is_ip(const char *s)
{
	unsigned char a[16];

	return *s == '\0' || inet_pton(AF_INET, s, a) == 1 || inet_pton(AF_INET6, s, a) == 1;
}

static bool is_host(const char *s)
{
	return *s == '\0' || first_and_rest(s, ALNUM "[", ALNUM ".-_:[]");
}

static bool is_url(const char *s)
{
	if (*s == '\0')
		return true;
	const char *host = strstr(s, "://");
	static const char *const schemes[] = {"http", "https", "socks5", "socks5h"};
	for (size_t i = 0; host && i < ARRAY_LEN(schemes); i++)
		if (strlen(schemes[i]) == (size_t)(host - s) && str_starts(s, schemes[i]))
			return host[3] && host[3] != '/' && !strpbrk(s, " \"\\<>{}|^`") && is_any(s);
	return false;
}

/* Relative to the cgroup roots: each segment a plain name. */
static bool is_cgroup(const char *s)
{
	if (*s != '/' || s[1] == '\0' || strstr(s, "//") || s[strlen(s) - 1] == '/')
		return false;
	for (const char *p = s; p; p = strchr(p + 1, '/'))
		if (p[1] == '.' || p[1] == '-')
			return false;
	return s[strspn(s, ALNUM "/_.-")] == '\0';
}

static bool is_log_driver(const char *s)
{
	return log_driver_find(s) != LOG_DRIVERS;
}

static bool is_capability(const char *s)
{
	return first_and_rest(s, UPPER, UPPER DIGIT "_") && !str_starts(s, "CAP_");
}

static bool is_ifname(const char *s)
{
	return first_and_rest(s, ALNUM "_", ALNUM "_.-") && strlen(s) <= 15;
}

static bool is_identifier(const char *s)
{
	return first_and_rest(s, LOWER UPPER, ALNUM "_");
}

/* address/bits with no bit set behind the prefix. */
static bool is_subnet(const char *s, int family, unsigned least, unsigned most)
{
	unsigned char a[16] = {0};
	char address[64];
	const char *slash = strchr(s, '/');
	unsigned bits = 0;
	char end;

	if (!slash || (size_t)(slash - s) >= sizeof address || !isdigit((unsigned char)slash[1]) ||
	    sscanf(slash + 1, "%3u%c", &bits, &end) != 1 || bits < least || bits > most)
		return false;
	memcpy(address, s, (size_t)(slash - s));
	address[slash - s] = '\0';
	if (inet_pton(family, address, a) != 1)
		return false;
	for (unsigned i = bits; i < most; i++)
		if (a[i / 8] & (0x80u >> (i % 8)))
			return false;
	return true;
}

static bool is_subnet4(const char *s)
{
	return is_subnet(s, AF_INET, 8, 32);
}

static bool is_subnet6(const char *s)
{
	return *s == '\0' || is_subnet(s, AF_INET6, 16, 128);
}

static bool is_label(const char *s)
{
	const char *eq = strchr(s, '=');

	return eq && eq != s && is_any(s);
}

const struct config_rule config_rule_any = {"text without control characters", is_any};
const struct config_rule config_rule_name = {"letters, digits, '_', '.', '-', beginning with a letter or digit",
					     is_name};
const struct config_rule config_rule_user = {"the name or number of a user or group", is_user};
const struct config_rule config_rule_ip = {"an IPv4 or IPv6 address", is_ip};
const struct config_rule config_rule_url = {"a URL with http, https, socks5 or socks5h", is_url};
const struct config_rule config_rule_host = {"a host name, with or without a port", is_host};
const struct config_rule config_rule_cgroup = {"a path such as /pouch, of plain names", is_cgroup};
const struct config_rule config_rule_log_driver = {"the name of a log driver", is_log_driver};
const struct config_rule config_rule_capability = {"a capability's name without CAP_, such as NET_ADMIN",
						   is_capability};
const struct config_rule config_rule_ifname = {"the name of a network interface", is_ifname};
const struct config_rule config_rule_subnet4 = {"an IPv4 subnet such as 10.1.0.0/16", is_subnet4};
const struct config_rule config_rule_subnet6 = {"an IPv6 subnet such as fd00:1::/64", is_subnet6};
const struct config_rule config_rule_identifier = {"letters, digits and '_', beginning with a letter", is_identifier};
const struct config_rule config_rule_label = {"key=value", is_label};
