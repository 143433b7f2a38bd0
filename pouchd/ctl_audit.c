/*
 * `pouchd ctl audit`: is the audit chain whole, and what does it say. Reads the files; only their end is asked of
 * auditd.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ipc/channel.h"
#include "lib/audit_log.h"
#include "lib/config.h"
#include "lib/times.h"
#include "lib/util.h"
#include "pouchd/ctl.h"

static int open_log(const struct ctl *c, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/auditd", c->root);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? err_sys(e, -errno, "%s", path) : fd;
}

/* ---- verify ---- */

/* Where a running auditd says that the chain ends. False: none runs. */
static bool running_end(const struct ctl *c, struct audit_head *end)
{
	struct audit_end ask = {};
	void *reply = NULL;
	struct err e = {0};

	if (ctl_call(c, PROC_auditd, IPC_audit_end, &ask, &reply, &e) < 0)
		return false;
	const struct audit_ended *ended = reply;
	end->sequence = ended->sequence;
	snprintf(end->hash, sizeof end->hash, "%s", ended->hash);
	channel_msg_free(ipc_message(IPC_audit_ended), reply);
	return true;
}

struct seen {
	uint64_t want;
	char hash[SHA256_HEX]; /* of the record `want`, from the "prev" of the next one */
};

static int remember(void *arg, const json_t *record)
{
	struct seen *seen = arg;

	if ((uint64_t)json_integer_value(json_object_get(record, "seq")) == seen->want + 1)
		snprintf(seen->hash, sizeof seen->hash, "%s", json_string_value(json_object_get(record, "prev")));
	return 0;
}

/* The record that `expected` names must be in the files: a chain that was cut at its end is whole in itself. */
static int check_end(const struct audit_head *expected, const struct audit_head *head, const struct seen *seen,
		     const char *who, struct err *e)
{
	const char *hash = head->sequence == expected->sequence ? head->hash : seen->hash;

	if (head->sequence >= expected->sequence && (expected->sequence == 0 || strcmp(hash, expected->hash) == 0))
		return 0;
	return err_set(e, -EBADMSG,
		       "the files end with record %" PRIu64 ", and %s knows record %" PRIu64
		       " with another content or as a later one: records were cut off or rewritten",
		       head->sequence, who, expected->sequence);
}

/* "SEQUENCE:HASH" as verify prints it. */
static bool parse_end(const char *text, struct audit_head *end)
{
	char hash[SHA256_HEX];

	if (sscanf(text, "%" SCNu64 ":%64[0-9a-f]", &end->sequence, hash) != 2 || strlen(hash) != 64)
		return false;
	memcpy(end->hash, hash, sizeof end->hash);
	return true;
}

static int verify(const struct ctl *c, int argc, char **argv)
{
	struct audit_head given = {0}, running = {0}, head;
	struct seen of_given = {0};
	struct err e = {0};

	if (argc > 1 || (argc == 1 && !parse_end(argv[0], &given)))
		return ctl_wrong(&ctl_audit);
	AUTO_CLOSE int dir = open_log(c, &e);
	/* auditd is asked first: what it has acknowledged by then must be in the files. */
	bool runs = dir >= 0 && running_end(c, &running);
	struct seen of_running = {.want = running.sequence};
	of_given.want = given.sequence;
	if (dir < 0 || audit_read(dir, remember, &of_running, &head, &e) < 0 ||
	    (runs && check_end(&running, &head, &of_running, "the running auditd", &e) < 0))
		return ctl_fail(&e);
	if (argc == 1 && (audit_read(dir, remember, &of_given, &head, &e) < 0 ||
			  check_end(&given, &head, &of_given, "the command line", &e) < 0))
		return ctl_fail(&e);
	printf("%" PRIu64 ":%s the chain is whole%s\n", head.sequence, head.hash,
	       runs ? "" : " (no auditd runs that could confirm its end)");
	return 0;
}

/* ---- query ---- */

struct query {
	const char *since, *until, *who, *operation, *object, *stage;
	uint64_t printed;
};

/* Part of any text in the value? */
static bool mentions(const json_t *value, const char *text)
{
	const char *name;
	json_t *member;
	size_t i;

	if (json_is_string(value))
		return strstr(json_string_value(value), text) != NULL;
	json_array_foreach(value, i, member)
		if (mentions(member, text))
			return true;
	json_object_foreach((json_t *)value, name, member)
		if (mentions(member, text))
			return true;
	return false;
}

static const char *text_of(const json_t *record, const char *name)
{
	const char *text = json_string_value(json_object_get(record, name));

	return text ? text : "";
}

/* A login uid is who it was before su and sudo. */
static bool is_who(const json_t *client, const char *who)
{
	const json_t *auid = json_object_get(client, "auid");
	AUTO_FREE char *login = xasprintf("auid:%" JSON_INTEGER_FORMAT, auid ? json_integer_value(auid) : -1);

	return strcmp(text_of(client, "principal"), who) == 0 || (auid && strcmp(login, who) == 0) ||
	       strstr(text_of(client, "attested"), who) != NULL;
}

static bool fits(const struct query *q, const json_t *record)
{
	/* RFC 3339 in UTC sorts as text; a shorter text stands for the beginning of its day, hour, … */
	if (q->since && strcmp(text_of(record, "time"), q->since) < 0)
		return false;
	if (q->until && strcmp(text_of(record, "time"), q->until) >= 0)
		return false;
	if (q->operation && strcmp(text_of(record, "operation"), q->operation) != 0 &&
	    strcmp(text_of(record, "permission"), q->operation) != 0)
		return false;
	if (q->stage && strcmp(text_of(record, "stage"), q->stage) != 0)
		return false;
	if (q->who && !is_who(json_object_get(record, "client"), q->who))
		return false;
	return !q->object || mentions(json_object_get(record, "objects"), q->object);
}

static int print_record(void *arg, const json_t *record)
{
	struct query *q = arg;

	if (!fits(q, record))
		return 0;
	AUTO_FREE char *line = json_dumps(record, JSON_COMPACT);
	puts(line);
	q->printed++;
	return 0;
}

/* The beginning of an RFC 3339 time in UTC stays as it is written: a year, a day, a minute. */
static bool is_beginning(const char *text)
{
	char whole[] = "0000-01-01T00:00:00Z";
	size_t len = strlen(text);
	struct tm tm;

	if (len < 4 || len >= sizeof whole || strspn(text, "0123456789") > 4)
		return false;
	memcpy(whole, text, len);
	const char *end = strptime(whole, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return end && !*end;
}

/* Other forms become one; `into` keeps it. */
static int read_time(const char **text, char into[TIME_TEXT], struct err *e)
{
	int64_t ns;

	if (!*text || is_beginning(*text))
		return 0;
	int r = time_parse(*text, time_now(), &ns, e);
	if (r == 0)
		*text = time_rfc3339_full(ns, into);
	return r;
}

static int check_operation(const char *name, struct err *e)
{
	size_t n;
	const struct ipc_message *const *m = ipc_messages(&n);

	for (size_t i = 0; name && i < n; i++)
		if (m[i]->op && (str_eq(m[i]->name, name) || str_eq(m[i]->op->permission, name)))
			return 0;
	return name ? err_set(e, -EINVAL, "there is no operation or permission %s", name) : 0;
}

static int check_stage(const char *name, struct err *e)
{
	for (size_t i = 0; name && audit_stages[i]; i++)
		if (str_eq(audit_stages[i], name))
			return 0;
	return name ? err_set(e, -EINVAL, "there is no stage %s", name) : 0;
}

static int query(const struct ctl *c, int argc, char **argv)
{
	static const struct option options[] = {
		{"since", required_argument, NULL, 's'},
		{"until", required_argument, NULL, 'u'},
		{"who", required_argument, NULL, 'w'},
		{"operation", required_argument, NULL, 'o'},
		{"object", required_argument, NULL, 'O'},
		{"stage", required_argument, NULL, 'S'},
		{NULL, 0, NULL, 0},
	};
	char since[TIME_TEXT], until[TIME_TEXT];
	struct query q = {0};
	struct audit_head head;
	struct err e = {0};
	int o;

	optind = 0;
	argv[0] = (char[]){"pouchd ctl audit query"}; /* getopt says it */
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		const char **member = o == 's'	 ? &q.since
				      : o == 'u' ? &q.until
				      : o == 'w' ? &q.who
				      : o == 'o' ? &q.operation
				      : o == 'O' ? &q.object
				      : o == 'S' ? &q.stage
						 : NULL;
		if (!member)
			return ctl_wrong(&ctl_audit);
		*member = optarg;
	}
	if (optind < argc)
		return ctl_wrong(&ctl_audit);
	if (read_time(&q.since, since, &e) < 0 || read_time(&q.until, until, &e) < 0 ||
	    check_operation(q.operation, &e) < 0 || check_stage(q.stage, &e) < 0)
		return ctl_fail(&e);
	AUTO_CLOSE int dir = open_log(c, &e);
	if (dir < 0 || audit_read(dir, print_record, &q, &head, &e) < 0)
		return ctl_fail(&e);
	return 0;
}

/* ---- */

static int run(const struct ctl *c, int argc, char **argv)
{
	if (argc >= 1 && strcmp(argv[0], "verify") == 0)
		return verify(c, argc - 1, argv + 1);
	if (argc >= 1 && strcmp(argv[0], "query") == 0)
		return query(c, argc, argv);
	return ctl_wrong(&ctl_audit);
}

const struct ctl_command ctl_audit = {
	.name = "audit",
	.usage = "verify [SEQUENCE:HASH] | query [--since TIME] [--until TIME] [--who WHO] [--operation NAME] "
		 "[--object TEXT] [--stage STAGE]",
	.about = "is the audit chain whole; its records",
	.places = true,
	.run = run,
};
