/* trouble: what an OCI runtime complains of, in the words and exit codes that Docker's clients know. */
#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <string.h>

#include "lib/util.h"
#include "runtimed/launch/room.h"

/* The last line of the runtime's log without its time. */
static void last_line(const char *text, char out[512])
{
	const char *end = text + strlen(text), *from;

	while (end > text && (end[-1] == '\n' || end[-1] == '\r'))
		end--;
	for (from = end; from > text && from[-1] != '\n'; from--)
		;
	const char *msg = strstr(from, "msg=\"");
	if (msg && msg < end) {
		from = msg + 5;
		if (end > from && end[-1] == '"')
			end--;
	} else if (end - from > 28 && from[4] == '-' && from[10] == 'T') {
		const char *colon = strstr(from + 19, ": ");
		from = colon && colon < end ? colon + 2 : from;
	}
	snprintf(out, 512, "%.*s", (int)(end - from), from);
	/* What is no character would make the error unfit for JSON. */
	for (char *p = out; *p; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
			*p = '?';
}

int runtime_error(const char *text, const char *command, int status, struct err *e)
{
	char line[512];

	last_line(text, line);
	if (strcasestr(line, "not found in $PATH") && strchr(command, '/')) {
		err_http(e, 400, "exec: \"%s\": stat %s: no such file or directory", command, command);
		return 127;
	}
	if (strcasestr(line, "not found in $PATH")) {
		err_http(e, 400, "exec: \"%s\": executable file not found in $PATH", command);
		return 127;
	}
	if (strncasecmp(line, "open executable", 15) == 0 || strcasestr(line, "exec container process") ||
	    strncasecmp(line, "executable", 10) == 0) {
		bool missing = strcasestr(line, "No such file") || strcasestr(line, "not found");
		err_http(e, 400, "exec: \"%s\": %s", command,
			 missing			      ? "stat: no such file or directory"
			 : strcasestr(line, "Is a directory") ? "is a directory: permission denied"
			 : strcasestr(line, "Exec format")    ? "exec format error: permission denied"
							      : "permission denied");
		return missing ? 127 : 126;
	}
	if (*line)
		err_set(e, -EIO, "OCI runtime: %s", line);
	else if (status == 126 || status == 127) /* the shim's words for execve(2) */
		err_set(e, -EIO, "the OCI runtime cannot be executed: %s; see runtime.runtimes of pouch.json",
			status == 127 ? "there is no such program" : "it is no program for this host");
	else
		err_set(e, -EIO, "the OCI runtime ended with status %d and said nothing", status);
	return 128;
}
