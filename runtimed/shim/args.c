/* args: what PREPARE says, and the process that GO names, from "key=value" texts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "runtimed/shim/shim.h"

enum kind { TEXT, NUMBER, SIZE, FLAG, FD, TEXTS, FDS, NUMBERS };

struct row {
	const char *key;
	enum kind kind;
	size_t offset, count; /* of the value; of the counter for lists */
	size_t max;
};

#define ROW(k, kind, of, member)                                                                                       \
	{                                                                                                              \
		k, kind, offsetof(of, member), 0, 0                                                                    \
	}
#define LIST(k, kind, of, member)                                                                                      \
	{                                                                                                              \
		k, kind, offsetof(of, member), offsetof(of, n##member), ARRAY_LEN(((of *)0)->member)                   \
	}

#define A struct shim_args
#define P struct process

static const struct row prepare_rows[] = {
	ROW("id", TEXT, A, id),
	ROW("runtime", TEXT, A, runtime),
	ROW("program", FD, A, program),
	ROW("nulls", FD, A, nulls),
	ROW("exec-shows", FLAG, A, exec_shows),
	LIST("runtime-arg", TEXTS, A, runtime_args),
	ROW("runtime-root", TEXT, A, runtime_root),
	ROW("mode", NUMBER, A, mode),
	ROW("user", TEXT, A, user),
	ROW("workdir", TEXT, A, workdir),
	LIST("group", TEXTS, A, groups),
	ROW("base", NUMBER, A, base),
	ROW("size", NUMBER, A, size),
	ROW("tty", FLAG, A, tty),
	ROW("stdin", FLAG, A, stdin_open),
	ROW("stdin-once", FLAG, A, stdin_once),
	ROW("read-only", FLAG, A, read_only),
	ROW("rows", NUMBER, A, rows),
	ROW("columns", NUMBER, A, columns),
	ROW("uid", NUMBER, A, uid),
	ROW("filter", FD, A, filter),
	ROW("dir", FD, A, dir),
	ROW("root", FD, A, root),
	ROW("init", FD, A, init),
	ROW("calls", FD, A, calls),
	LIST("cgroup", FDS, A, cgroups),
	ROW("top", FD, A, top),
	LIST("layer", FDS, A, layers),
	LIST("mount", FDS, A, mounts),
	LIST("tmpfs", TEXTS, A, tmpfs),
	LIST("stage", TEXTS, A, stages),
	LIST("keep", FDS, A, keep),
	ROW("listen", FD, A, listen),
	ROW("exit", FD, A, exit_file),
	ROW("log", FD, A, log_dir),
	ROW("log-name", TEXT, A, log_name),
	ROW("log-size", SIZE, A, log_size),
	ROW("log-files", NUMBER, A, log_files),
	ROW("log-compress", FLAG, A, log_compress),
	ROW("log-attributes", TEXT, A, log_attributes),
	ROW("log-buffer", SIZE, A, log_buffer),
	ROW("logger", FD, A, logger),
	ROW("logger-drops", FLAG, A, logger_drops),
};

static const struct row process_rows[] = {
	ROW("uid", NUMBER, P, uid),
	ROW("gid", NUMBER, P, gid),
	LIST("group", NUMBERS, P, groups),
	ROW("capabilities", SIZE, P, capabilities),
	ROW("bounding", SIZE, P, bounding),
	ROW("no-new-privileges", FLAG, P, no_new_privileges),
	ROW("oom-score", TEXT, P, oom_score),
	LIST("limit", TEXTS, P, limits),
	ROW("cwd", TEXT, P, cwd),
	LIST("arg", TEXTS, P, args),
	LIST("env", TEXTS, P, env),
};

static size_t *counter(const struct row *row, void *of)
{
	return (size_t *)(void *)((char *)of + row->count);
}

static void put(const struct row *row, void *of, const char *value)
{
	char *at = (char *)of + row->offset;

	switch (row->kind) {
	case TEXT:
		memcpy(at, &value, sizeof value);
		break;
	case NUMBER:
		*(uint32_t *)(void *)at = (uint32_t)strtoul(value, NULL, 10);
		break;
	case SIZE:
		*(uint64_t *)(void *)at = strtoull(value, NULL, 10);
		break;
	case FLAG:
		*(bool *)(void *)at = value[0] == '1';
		break;
	case FD:
		*(int *)(void *)at = (int)strtol(value, NULL, 10);
		break;
	case TEXTS:
		((const char **)(void *)at)[(*counter(row, of))++] = value;
		break;
	case FDS:
		((int *)(void *)at)[(*counter(row, of))++] = (int)strtol(value, NULL, 10);
		break;
	case NUMBERS:
		((uint32_t *)(void *)at)[(*counter(row, of))++] = (uint32_t)strtoul(value, NULL, 10);
		break;
	}
}

static const struct row *find(const struct row *rows, size_t n, const char *text, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(rows[i].key) == len && memcmp(rows[i].key, text, len) == 0)
			return &rows[i];
	return NULL;
}

static int parse_one(const struct row *rows, size_t n, const char *text, void *of, struct err *e)
{
	const char *equals = strchr(text, '=');
	const struct row *row = equals ? find(rows, n, text, (size_t)(equals - text)) : NULL;

	if (!row)
		return err_set(e, -EINVAL, "shim: no setting is called %s", text);
	if (row->max && *counter(row, of) >= row->max)
		return err_set(e, -E2BIG, "shim: too many of %s", row->key);
	put(row, of, equals + 1);
	return 0;
}

int args_parse(char *text, size_t len, struct shim_args *a, struct err *e)
{
	*a = (struct shim_args){.id = "",
				.runtime = "",
				.runtime_root = "",
				.user = "",
				.log_name = "log",
				.log_attributes = "",
				.logger = -1,
				.filter = -1,
				.program = -1,
				.nulls = -1,
				.dir = -1,
				.root = -1,
				.init = -1,
				.calls = -1,
				.top = -1,
				.listen = -1,
				.exit_file = -1,
				.log_dir = -1};
	for (char *p = text; p < text + len; p += strlen(p) + 1) {
		if (str_starts(p, "target=")) { /* belongs to the mount before it */
			if (a->nmounts)
				a->targets[a->nmounts - 1] = p + strlen("target=");
			continue;
		}
		int r = parse_one(prepare_rows, ARRAY_LEN(prepare_rows), p, a, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int process_parse(char *text, size_t len, struct process *out, struct err *e)
{
	int r = 0;

	for (char *p = text; r == 0 && p < text + len; p += strlen(p) + 1)
		r = parse_one(process_rows, ARRAY_LEN(process_rows), p, out, e);
	/* execve(2) wants a NULL behind the last. */
	if (r == 0 && (out->nargs == 0 || out->nargs == ARRAY_LEN(out->args) || out->nenv >= ARRAY_LEN(out->env) - 1))
		r = err_set(e, -E2BIG, "shim: no arguments, or too many words");
	return r;
}
