#include "lib/logopt.h"

#include <ctype.h>
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/size.h"
#include "lib/util.h"

#define D(driver) (1u << LOG_DRIVER_##driver)

static const struct logopt_row rows[] = {
#define LOGOPT(drivers, name, kind, def, words, doc) {drivers, name, LOGOPT_##kind, def, words, doc},
#include "lib/logopt.def"
#undef LOGOPT
};

static const char *const names[LOG_DRIVERS] = {"json-file", "local", "none",	"syslog",
					       "journald",  "gelf",  "fluentd", "splunk"};
/* Docker has them; their services have agents that read what the others write. */
static const char *const foreign[] = {"awslogs", "etwlogs", "gcplogs"};

const struct logopt_row *logopt_rows(size_t *n)
{
	*n = ARRAY_LEN(rows);
	return rows;
}

const char *log_driver_name(enum log_driver d)
{
	return names[d];
}

enum log_driver log_driver_find(const char *name)
{
	enum log_driver d = 0;

	while (d < LOG_DRIVERS && strcmp(names[d], name) != 0)
		d++;
	return d;
}

bool log_driver_remote(enum log_driver d)
{
	return d >= LOG_DRIVER_syslog && d < LOG_DRIVERS;
}

/* ---- values ---- */

static bool parse_bool(const char *text, bool *out)
{
	static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
	static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		if (str_eq(text, yes[i]) || str_eq(text, no[i])) {
			*out = str_eq(text, yes[i]);
			return true;
		}
	return false;
}

static bool parse_count(const char *text, int64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoll(text, &end, 10);
	return isdigit((unsigned char)text[0]) && !*end && errno == 0 && *out <= UINT32_MAX;
}

static bool parse_level(const char *text, int64_t *out)
{
	char *end;

	*out = strtoll(text, &end, 10);
	return *text && !*end && *out >= -1 && *out <= 9;
}

/* Go's: "1.5s", "1m30s", "500ms"; "0". In milliseconds. */
static bool parse_duration(const char *text, int64_t *out)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = {{"ms", 1}, {"us", 1e-3}, {"ns", 1e-6}, {"h", 3600e3}, {"m", 60e3}, {"s", 1e3}};
	double total = 0;

	if (str_eq(text, "0")) {
		*out = 0;
		return true;
	}
	for (const char *p = text; *p || p == text;) {
		char *end;
		size_t u = 0;
		if (!isdigit((unsigned char)*p))
			return false;
		double v = strtod(p, &end);
		while (u < ARRAY_LEN(units) && !str_starts(end, units[u].unit))
			u++;
		if (u == ARRAY_LEN(units))
			return false;
		total += v * units[u].ms;
		p = end + strlen(units[u].unit);
	}
	*out = (int64_t)total;
	return total < 1e15;
}

static bool has_word(const char *words, const char *text, size_t len)
{
	for (const char *p = words; *p; p += *p == '|') {
		size_t n = strcspn(p, "|");
		if (n == len && memcmp(p, text, n) == 0)
			return true;
		p += n;
	}
	return false;
}

static bool is_regex(const char *text)
{
	regex_t r;

	if (regcomp(&r, text, REG_EXTENDED | REG_NOSUB) != 0)
		return false;
	regfree(&r);
	return true;
}

static bool is_template(const char *text)
{
	static const char fields[] = "ID|FullID|Name|ImageID|ImageFullID|ImageName|DaemonName";

	while ((text = strstr(text, "{{"))) {
		const char *end = strstr(text, "}}");
		if (!end)
			return false;
		text += 2 + strspn(text + 2, " ");
		size_t n = strcspn(text, " }");
		if (*text != '.' || !has_word(fields, text + 1, n - 1) || text + n + strspn(text + n, " ") != end)
			return false;
		text = end;
	}
	return true;
}

int log_address_parse(const char *text, const char *default_port, struct log_address *out, struct err *e)
{
	const char *sep = strstr(text, "://"), *rest = sep ? sep + 3 : text, *port = NULL;
	size_t scheme = sep ? (size_t)(sep - text) : strlen("tcp"), host;

	*out = (struct log_address){0};
	if (scheme >= sizeof out->scheme)
		return err_http(e, 400, "invalid address '%.200s': no scheme is called so", text);
	memcpy(out->scheme, sep ? text : "tcp", scheme);
	if (str_starts(out->scheme, "unix")) {
		if (*rest != '/' || strlen(rest) >= sizeof out->host)
			return err_http(e, 400, "invalid address '%.200s': an absolute path is expected", text);
		snprintf(out->host, sizeof out->host, "%s", rest);
		return 0;
	}
	if (*rest == '[') {
		rest++;
		host = strcspn(rest, "]");
		port = rest[host] == ']' && rest[host + 1] == ':' ? rest + host + 2 : rest[host] ? NULL : "?";
	} else {
		host = strcspn(rest, ":/");
		port = rest[host] == ':' ? rest + host + 1 : NULL;
	}
	if (host == 0 || host >= sizeof out->host)
		return err_http(e, 400, "invalid address '%.200s': a host is expected", text);
	memcpy(out->host, rest, host);
	if (!port)
		port = default_port;
	size_t n = strspn(port, "0123456789");
	long number = strtol(port, NULL, 10);
	if (n == 0 || n > 5 || (port[n] && !str_eq(port + n, "/")) || number < 1 || number > 65535)
		return err_http(e, 400, "invalid address '%.200s': a port from 1 to 65535 is expected", text);
	memcpy(out->port, port, n);
	return 0;
}

/* ---- the check ---- */

/* The sockets that a collector may have. */
struct sockets {
	const char *const *v;
	size_t n;
};

static bool may_connect(const struct sockets *s, const char *path)
{
	for (size_t i = 0; i < s->n; i++) {
		size_t n = strlen(s->v[i]);
		/* Or a directory of them. */
		if (str_starts(path, s->v[i]) && (!path[n] || (path[n] == '/' && !strchr(path + n + 1, '/'))))
			return true;
	}
	return false;
}

static int check_address(const struct logopt_row *row, const char *value, const struct sockets *sockets, struct err *e)
{
	struct log_address a;
	int r = log_address_parse(value, "514", &a, e);

	if (r == 0 && !has_word(row->words, a.scheme, strlen(a.scheme)))
		r = err_http(e, 400, "%s: '%s' is none of %s", row->name, a.scheme, row->words);
	if (r == 0 && str_starts(a.scheme, "unix") && !may_connect(sockets, a.host))
		r = err_http(e, 400, "%s: %s is not among the sockets of the setting log-driver.sockets", row->name,
			     a.host);
	return r;
}

static int check_value(const struct logopt_row *row, const char *value, const struct sockets *sockets, struct err *e)
{
	static const char *const wanted[] = {
		[LOGOPT_BOOL] = "true or false",
		[LOGOPT_COUNT] = "a whole number",
		[LOGOPT_LEVEL] = "a level from -1 to 9",
		[LOGOPT_SIZE] = "a size as 10m",
		[LOGOPT_DURATION] = "a duration as 500ms",
		[LOGOPT_REGEX] = "a POSIX extended regular expression",
		[LOGOPT_TEMPLATE] = ("a text with {{.ID}}, {{.FullID}}, {{.Name}}, {{.ImageID}}, {{.ImageFullID}}, "
				     "{{.ImageName}} or {{.DaemonName}}"),
		[LOGOPT_FILE] = "an absolute path",
		[LOGOPT_SECRET] = "a text",
	};
	int64_t number;
	bool flag, ok = true;

	switch (row->kind) {
	case LOGOPT_BOOL:
		ok = parse_bool(value, &flag);
		break;
	case LOGOPT_COUNT:
		ok = parse_count(value, &number);
		break;
	case LOGOPT_LEVEL:
		ok = parse_level(value, &number);
		break;
	case LOGOPT_SIZE:
		ok = size_parse(value, &number);
		break;
	case LOGOPT_DURATION:
		ok = parse_duration(value, &number);
		break;
	case LOGOPT_REGEX:
		ok = is_regex(value);
		break;
	case LOGOPT_TEMPLATE:
		ok = is_template(value);
		break;
	case LOGOPT_FILE:
		ok = value[0] == '/';
		break;
	case LOGOPT_SECRET:
		ok = *value && !strpbrk(value, "\r\n");
		break;
	case LOGOPT_CHOICE:
		if (!has_word(row->words, value, strlen(value)))
			return err_http(e, 400, "invalid value '%.100s' for log opt '%s': one of %s is expected", value,
					row->name, row->words);
		break;
	case LOGOPT_ADDRESS:
		return check_address(row, value, sockets, e);
	case LOGOPT_TEXT:
	case LOGOPT_LIST:
		break;
	}
	return ok ? 0
		  : err_http(e, 400, "invalid value '%.100s' for log opt '%s': %s is expected",
			     row->kind == LOGOPT_SECRET ? "(hidden)" : value, row->name, wanted[row->kind]);
}

static const struct logopt_row *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (str_eq(rows[i].name, name))
			return &rows[i];
	return NULL;
}

static const char *given(const json_t *config, const char *name)
{
	return json_string_value(json_object_get(config, name));
}

/* What options say to each other. */
static int check_together(enum log_driver d, const json_t *config, struct err *e)
{
	const char *address = given(config, "gelf-address");
	bool tcp = address && !str_starts(address, "udp");

	if (given(config, "max-buffer-size") && !str_eq(logopt_text(config, "mode"), "non-blocking"))
		return err_http(e, 400, "logger: max-buffer-size option is only supported with 'mode=non-blocking'");
	if (given(config, "max-buffer-size") && logopt_number(config, "max-buffer-size") < 1)
		return err_http(e, 400, "max-buffer-size cannot be less than 1");
	if (given(config, "max-file") && logopt_number(config, "max-file") < 1)
		return err_http(e, 400, "max-file cannot be less than 1");
	if (d == LOG_DRIVER_json_file && given(config, "compress") && logopt_bool(config, "compress") &&
	    given(config, "max-file") && logopt_number(config, "max-file") < 2)
		return err_http(e, 400, "compress cannot be true when max-file is less than 2 or max-size is not set");
	if (d == LOG_DRIVER_gelf && !address)
		return err_http(e, 400, "gelf: gelf-address is a required parameter");
	if (tcp && (given(config, "gelf-compression-type") || given(config, "gelf-compression-level")))
		return err_http(e, 400, "compression is only supported on UDP");
	if (address && !tcp && (given(config, "gelf-tcp-max-reconnect") || given(config, "gelf-tcp-reconnect-delay")))
		return err_http(e, 400, "reconnecting is only supported on TCP");
	if (d == LOG_DRIVER_splunk && (!given(config, "splunk-url") || !given(config, "splunk-token")))
		return err_http(e, 400, "splunk: %s is expected",
				given(config, "splunk-url") ? "splunk-token" : "splunk-url");
	return 0;
}

int logopt_check(const char *driver, const json_t *config, const char *const *sockets, size_t nsockets, struct err *e)
{
	const struct sockets allowed = {sockets, nsockets};
	enum log_driver d = log_driver_find(driver);
	const char *name;
	json_t *value;

	for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
		if (str_eq(driver, foreign[i]))
			return err_http(e, 400, "LogConfig: the log driver %s is not part of this engine", driver);
	if (d == LOG_DRIVERS)
		return err_http(e, 400, "logger: no log driver named '%s' is registered", driver);
	json_object_foreach((json_t *)(uintptr_t)config, name, value) {
		const struct logopt_row *row = find(name);
		if (!row || !(row->drivers & 1u << d))
			return err_http(e, 400, "unknown log opt '%s' for %s log driver", name, driver);
		int r = check_value(row, json_string_value(value) ? json_string_value(value) : "", &allowed, e);
		if (r < 0)
			return r;
	}
	return check_together(d, config, e);
}

bool logopt_reaches_out(const char *name)
{
	const struct logopt_row *row = find(name);

	return row && (row->kind == LOGOPT_ADDRESS || row->kind == LOGOPT_FILE);
}

const char *logopt_text(const json_t *config, const char *name)
{
	const char *text = given(config, name);

	return text ? text : find(name)->def;
}

bool logopt_bool(const json_t *config, const char *name)
{
	const char *text = logopt_text(config, name);
	bool out = false;

	if (text)
		parse_bool(text, &out);
	return out;
}

int64_t logopt_number(const json_t *config, const char *name)
{
	const char *text = logopt_text(config, name);
	const struct logopt_row *row = find(name);
	int64_t out = 0;

	if (!text)
		return 0;
	if (row->kind == LOGOPT_SIZE)
		size_parse(text, &out);
	else if (row->kind == LOGOPT_DURATION)
		parse_duration(text, &out);
	else if (row->kind == LOGOPT_LEVEL)
		parse_level(text, &out);
	else
		parse_count(text, &out);
	return out;
}
