#include "lib/times.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/util.h"

int64_t time_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

int64_t monotonic_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

const char *time_rfc3339_full(int64_t ns, char out[TIME_TEXT])
{
	struct tm tm;
	time_t seconds = ns / NS_PER_SEC;
	char date[32];

	gmtime_r(&seconds, &tm);
	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, TIME_TEXT, "%s.%09lldZ", date, (long long)(ns % NS_PER_SEC));
	return out;
}

const char *time_rfc3339(int64_t ns, char out[TIME_TEXT])
{
	if (ns == 0)
		return strcpy(out, "0001-01-01T00:00:00Z");
	time_rfc3339_full(ns, out);
	char *end = out + strlen(out) - 1; /* the Z */
	while (end[-1] == '0')
		end--;
	if (end[-1] == '.')
		end--;
	strcpy(end, "Z");
	return out;
}

/* Digits of a fraction at *p (behind the dot) as nanoseconds; moves *p behind them. */
static int64_t read_fraction(const char **p, const char *end)
{
	int64_t ns = 0, unit = NS_PER_SEC / 10;

	for (; *p < end && isdigit((unsigned char)**p); (*p)++, unit /= 10)
		ns += (**p - '0') * unit;
	return ns;
}

static bool read_number(const char **p, const char *end, int digits, int *out)
{
	*out = 0;
	for (int i = 0; i < digits; i++, (*p)++) {
		if (*p == end || !isdigit((unsigned char)**p))
			return false;
		*out = *out * 10 + (**p - '0');
	}
	return true;
}

static bool read_char(const char **p, const char *end, const char *set)
{
	if (*p == end || !strchr(set, **p))
		return false;
	(*p)++;
	return true;
}

/* "Z" or "+hh:mm" in seconds east. */
static bool read_zone(const char **p, const char *end, int *east)
{
	int hours, minutes;

	*east = 0;
	if (read_char(p, end, "Zz"))
		return true;
	if (*p == end || (**p != '+' && **p != '-'))
		return false;
	int sign = *(*p)++ == '-' ? -1 : 1;
	if (!read_number(p, end, 2, &hours) || !read_char(p, end, ":") || !read_number(p, end, 2, &minutes))
		return false;
	*east = sign * (hours * 3600 + minutes * 60);
	return true;
}

static int parse_calendar(const char *p, const char *end, bool loose, int64_t *out)
{
	struct tm tm = {0};
	int64_t fraction = 0;
	int east = 0;

	if (!read_number(&p, end, 4, &tm.tm_year) || !read_char(&p, end, "-") || !read_number(&p, end, 2, &tm.tm_mon) ||
	    !read_char(&p, end, "-") || !read_number(&p, end, 2, &tm.tm_mday))
		return -EINVAL;
	if (!(loose && p == end)) {
		if (!read_char(&p, end, "Tt") || !read_number(&p, end, 2, &tm.tm_hour) || !read_char(&p, end, ":") ||
		    !read_number(&p, end, 2, &tm.tm_min))
			return -EINVAL;
		if (read_char(&p, end, ":") && !read_number(&p, end, 2, &tm.tm_sec))
			return -EINVAL;
		if (read_char(&p, end, "."))
			fraction = read_fraction(&p, end);
		if (!(loose && p == end) && !read_zone(&p, end, &east))
			return -EINVAL;
	}
	if (p != end || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 ||
	    tm.tm_min > 59 || tm.tm_sec > 60)
		return -EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	int64_t seconds = timegm(&tm) - east;
	/* What int64 nanoseconds can hold: 1677 to 2262. */
	if (seconds > INT64_MAX / NS_PER_SEC - 1 || seconds < INT64_MIN / NS_PER_SEC + 1)
		return -ERANGE;
	*out = seconds * NS_PER_SEC + fraction;
	return 0;
}

int time_parse_rfc3339(const char *text, size_t len, int64_t *out)
{
	return parse_calendar(text, text + len, false, out);
}

/* "1h30m", "2.5s": Go's durations. */
static int parse_duration(const char *p, int64_t *out)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {{"ns", 1},		{"us", 1000},		{"ms", 1000000},
		     {"s", NS_PER_SEC}, {"m", 60 * NS_PER_SEC}, {"h", 3600 * NS_PER_SEC}};
	int64_t sum = 0;

	if (!*p)
		return -EINVAL;
	while (*p) {
		char *end;
		if (!isdigit((unsigned char)*p))
			return -EINVAL;
		double n = strtod(p, &end);
		size_t len = strspn(end, "nsumh");
		size_t i = 0;
		while (i < ARRAY_LEN(units) && (strlen(units[i].name) != len || memcmp(units[i].name, end, len) != 0))
			i++;
		if (i == ARRAY_LEN(units) || n * (double)units[i].ns > 9e18 ||
		    __builtin_add_overflow(sum, (int64_t)(n * (double)units[i].ns), &sum))
			return -EINVAL;
		p = end + len;
	}
	*out = sum;
	return 0;
}

static int parse_seconds(const char *text, int64_t *out)
{
	const char *p = text, *end = text + strlen(text);
	int64_t seconds = 0, fraction = 0;

	if (p == end)
		return -EINVAL;
	for (; p < end && isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(seconds, 10, &seconds) ||
		    __builtin_add_overflow(seconds, *p - '0', &seconds))
			return -ERANGE;
	if (read_char(&p, end, "."))
		fraction = read_fraction(&p, end);
	if (p != end || __builtin_mul_overflow(seconds, NS_PER_SEC, out) || __builtin_add_overflow(*out, fraction, out))
		return -EINVAL;
	return 0;
}

int time_parse(const char *text, int64_t now, int64_t *out, struct err *e)
{
	int64_t span;

	*out = 0;
	if (!text || !*text)
		return 0;
	if (parse_seconds(text, out) == 0 || parse_calendar(text, text + strlen(text), true, out) == 0)
		return 0;
	if (parse_duration(text, &span) == 0) {
		*out = now - span;
		return 0;
	}
	*out = 0;
	return err_set(e, -EINVAL, "invalid time \"%s\": want seconds since 1970, RFC 3339, or a duration as 10m",
		       text);
}

const char *time_human(int64_t ns, char out[TIME_TEXT])
{
	long long seconds = ns / NS_PER_SEC, minutes = seconds / 60, hours = (seconds + 1800) / 3600;

	if (seconds < 1)
		return strcpy(out, "Less than a second");
	if (seconds == 1)
		return strcpy(out, "1 second");
	if (minutes == 1)
		return strcpy(out, "About a minute");
	if (hours == 1 && minutes >= 60)
		return strcpy(out, "About an hour");
	if (seconds < 60)
		snprintf(out, TIME_TEXT, "%lld seconds", seconds);
	else if (minutes < 60)
		snprintf(out, TIME_TEXT, "%lld minutes", minutes);
	else if (hours < 48)
		snprintf(out, TIME_TEXT, "%lld hours", hours);
	else if (hours < 24 * 7 * 2)
		snprintf(out, TIME_TEXT, "%lld days", hours / 24);
	else if (hours < 24 * 30 * 2)
		snprintf(out, TIME_TEXT, "%lld weeks", hours / 24 / 7);
	else if (hours < 24 * 365 * 2)
		snprintf(out, TIME_TEXT, "%lld months", hours / 24 / 30);
	else
		snprintf(out, TIME_TEXT, "%lld years", hours / 24 / 365);
	return out;
}
