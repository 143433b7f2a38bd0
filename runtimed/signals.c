#include "runtimed/signals.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

#define SIGNAL_MAX 64

/* The kernel's range of real-time signals; glibc's SIGRTMIN hides two of them from itself, not from others. */
#define KERNEL_RTMIN 34
#define KERNEL_RTMAX 64

static int number_of(const char *text)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return 0;
	long n = strtol(text, &end, 10);
	return *end == '\0' && n >= 1 && n <= SIGNAL_MAX ? (int)n : 0;
}

static int realtime(const char *name)
{
	if (strcasecmp(name, "RTMIN") == 0)
		return KERNEL_RTMIN;
	if (strcasecmp(name, "RTMAX") == 0)
		return KERNEL_RTMAX;
	int offset = strlen(name) > 6 ? number_of(name + 6) : 0;
	if (!offset)
		return 0;
	int n = 0;
	if (strncasecmp(name, "RTMIN+", 6) == 0)
		n = KERNEL_RTMIN + offset;
	if (strncasecmp(name, "RTMAX-", 6) == 0)
		n = KERNEL_RTMAX - offset;
	return n >= KERNEL_RTMIN && n <= KERNEL_RTMAX ? n : 0;
}

static int named(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} aliases[] = {{"IOT", SIGABRT}, {"CLD", SIGCHLD}, {"POLL", SIGIO}};

	for (int i = 1; i < 32; i++)
		if (sigabbrev_np(i) && strcasecmp(name, sigabbrev_np(i)) == 0)
			return i;
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		if (strcasecmp(name, aliases[i].name) == 0)
			return aliases[i].number;
	return realtime(name);
}

int signal_parse(const char *text, int fallback, struct err *e)
{
	if (!text || !*text)
		return fallback;
	int n = number_of(text);
	if (!n)
		n = named(strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text);
	return n ? n : err_set(e, -EINVAL, "invalid signal: %s", text);
}
