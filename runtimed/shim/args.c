/* args: what PREPARE says, from "key=value" texts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "runtimed/shim/shim.h"

enum kind { TEXT, NUMBER, SIZE, FLAG, FD, TEXTS, FDS };

struct row {
	const char *key;
	enum kind kind;
	size_t offset, count; /* of the value; of the counter for lists */
	size_t max;
};

#define ROW(k, kind, member)                                                                                           \
	{                                                                                                              \
		k, kind, offsetof(struct shim_args, member), 0, 0                                                      \
	}
#define LIST(k, kind, member, counter, max)                                                                            \
	{                                                                                                              \
		k, kind, offsetof(struct shim_args, member), offsetof(struct shim_args, counter), max                  \
	}

static const struct row rows[] = {
	ROW("id", TEXT, id),
	ROW("runtime", TEXT, runtime),
	ROW("program", FD, program),
	LIST("runtime-arg", TEXTS, runtime_args, nruntime_args, 32),
	ROW("runtime-root", TEXT, runtime_root),
	ROW("mode", NUMBER, mode),
	ROW("user", TEXT, user),
	LIST("group", TEXTS, groups, ngroups, 64),
	ROW("base", NUMBER, base),
	ROW("size", NUMBER, size),
	ROW("tty", FLAG, tty),
	ROW("stdin", FLAG, stdin_open),
	ROW("stdin-once", FLAG, stdin_once),
	ROW("read-only", FLAG, read_only),
	ROW("rows", NUMBER, rows),
	ROW("columns", NUMBER, columns),
	ROW("uid", NUMBER, uid),
	ROW("filter", FD, filter),
	ROW("dir", FD, dir),
	ROW("root", FD, root),
	ROW("top", FD, top),
	LIST("layer", FDS, layers, nlayers, LAYERS_MAX),
	LIST("mount", FDS, mounts, nmounts, MOUNTS_MAX),
	LIST("tmpfs", TEXTS, tmpfs, ntmpfs, MOUNTS_MAX),
	LIST("stage", TEXTS, stages, nstages, STAGES_MAX),
	LIST("keep", FDS, keep, nkeep, STAGES_MAX),
	ROW("listen", FD, listen),
	ROW("exit", FD, exit_file),
	ROW("log", FD, log_dir),
	ROW("log-name", TEXT, log_name),
	ROW("log-size", SIZE, log_size),
	ROW("log-files", NUMBER, log_files),
	ROW("log-compress", FLAG, log_compress),
	ROW("log-attributes", TEXT, log_attributes),
	ROW("log-buffer", SIZE, log_buffer),
	ROW("logger", FD, logger),
	ROW("logger-drops", FLAG, logger_drops),
};

static void put(const struct row *row, struct shim_args *a, const char *value)
{
	char *at = (char *)a + row->offset;

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
		((const char **)(void *)at)[(*(size_t *)(void *)((char *)a + row->count))++] = value;
		break;
	case FDS:
		((int *)(void *)at)[(*(size_t *)(void *)((char *)a + row->count))++] = (int)strtol(value, NULL, 10);
		break;
	}
}

static const struct row *find(const char *text, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strlen(rows[i].key) == len && memcmp(rows[i].key, text, len) == 0)
			return &rows[i];
	return NULL;
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
				.dir = -1,
				.root = -1,
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
		const char *equals = strchr(p, '=');
		const struct row *row = equals ? find(p, (size_t)(equals - p)) : NULL;
		if (!row)
			return err_set(e, -EINVAL, "shim: no setting is called %s", p);
		if (row->count && *(size_t *)(void *)((char *)a + row->count) >= row->max)
			return err_set(e, -E2BIG, "shim: too many of %s", row->key);
		put(row, a, equals + 1);
	}
	return 0;
}
