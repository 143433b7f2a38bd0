#include "lib/audit_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "lib/json.h"
#include "lib/util.h"

const char *const audit_stages[] = {
	"decided", "done",    "revealed", "denied",    /* of operations */
	"started", "stopped", "reloaded", "recovered", /* auditd's own */
	"rotated", NULL,
};

void audit_file_name(uint64_t first, char name[AUDIT_NAME_MAX])
{
	snprintf(name, AUDIT_NAME_MAX, "audit-%016" PRIu64 ".jsonl", first);
}

void audit_line_hash(const char *line, size_t len, char hex[SHA256_HEX])
{
	struct sha256 s;

	sha256_init(&s);
	sha256_add(&s, line, len);
	sha256_hex(&s, hex);
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int audit_files(int dir_fd, struct audit_files *out, struct err *e)
{
	*out = (struct audit_files){0};
	int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir) {
		int code = -errno;
		fd_close(&copy);
		return err_sys(e, code, "read the directory of the audit log");
	}
	for (struct dirent *entry; (entry = readdir(dir));) {
		uint64_t first;
		char name[AUDIT_NAME_MAX];
		if (sscanf(entry->d_name, "audit-%16" SCNu64, &first) != 1)
			continue;
		audit_file_name(first, name);
		if (strcmp(name, entry->d_name) != 0)
			continue;
		out->first = xrealloc(out->first, out->n + 1, sizeof *out->first);
		out->first[out->n++] = first;
	}
	closedir(dir);
	if (out->n)
		qsort(out->first, out->n, sizeof *out->first, by_number);
	return 0;
}

void audit_files_clean(struct audit_files *files)
{
	free(files->first);
	*files = (struct audit_files){0};
}

json_t *audit_record(const char *line, size_t len)
{
	json_t *record = NULL;

	if (len == 0 || line[0] != '{' || json_parse(line, len, &JSON_BOUNDS_DOCUMENT, &record, NULL) < 0)
		return NULL;
	if (json_is_integer(json_object_get(record, "seq")) && json_is_string(json_object_get(record, "prev")))
		return record;
	json_decref(record);
	return NULL;
}

/* ---- reading ---- */

struct reader {
	int (*each)(void *arg, const json_t *record);
	void *arg;
	struct audit_head *head;
	char file[AUDIT_NAME_MAX];
	uint64_t line, first; /* first: the first sequence that is there at all */
	uint64_t retired;     /* by the word of the records */
	/* Bytes behind the last record that are no record. */
	char *torn;
	size_t torn_len;
	struct err *e;
};

static int broken(struct reader *r, const char *why)
{
	return err_set(r->e, -EBADMSG, "%s:%" PRIu64 ": %s", r->file, r->line, why);
}

/* A recovery's newline may stand behind what was torn. */
static bool torn_fits(const struct reader *r, const json_t *torn)
{
	size_t bytes = (size_t)json_integer_value(json_object_get(torn, "bytes"));
	const char *expected = json_string_value(json_object_get(torn, "sha256"));
	char hex[SHA256_HEX];

	if (!expected || (bytes != r->torn_len && !(bytes + 1 == r->torn_len && r->torn[bytes] == '\n')))
		return false;
	audit_line_hash(r->torn ? r->torn : "", bytes, hex);
	return strcmp(hex, expected) == 0;
}

static int read_record(struct reader *r, const json_t *record, const char *line, size_t len)
{
	uint64_t sequence = (uint64_t)json_integer_value(json_object_get(record, "seq"));
	const char *prev = json_string_value(json_object_get(record, "prev"));
	const json_t *torn = json_object_get(record, "torn"), *retired = json_object_get(record, "retired");

	if (torn ? !torn_fits(r, torn) : r->torn_len > 0)
		return broken(r, "bytes before this record are neither records nor accounted for");
	if (r->first == 0) {
		r->first = sequence;
		if (sequence == 1 && strcmp(prev, AUDIT_GENESIS) != 0)
			return broken(r, "the first record was changed");
	} else if (sequence != r->head->sequence + 1) {
		return broken(r, "a record is missing before this one, or this one is not in its place");
	} else if (strcmp(prev, r->head->hash) != 0) {
		return broken(r, "the record before this one was changed");
	}
	free(STEAL(r->torn));
	r->torn_len = 0;
	if (retired && (uint64_t)json_integer_value(retired) > r->retired)
		r->retired = (uint64_t)json_integer_value(retired);
	r->head->sequence = sequence;
	audit_line_hash(line, len, r->head->hash);
	return r->each ? r->each(r->arg, record) : 0;
}

static int keep_torn(struct reader *r, const char *bytes, size_t len)
{
	if (r->torn_len + len > AUDIT_LINE_MAX)
		return broken(r, "this is no record");
	r->torn = xrealloc(r->torn, r->torn_len + len, 1);
	memcpy(r->torn + r->torn_len, bytes, len);
	r->torn_len += len;
	return 0;
}

static int read_lines(struct reader *r, FILE *f)
{
	AUTO_FREE char *line = NULL;
	size_t size = 0;
	ssize_t n;

	for (r->line = 1; (n = getline(&line, &size, f)) > 0; r->line++) {
		size_t len = (size_t)n;
		bool whole = line[len - 1] == '\n';
		json_auto_t *record = whole ? audit_record(line, len - 1) : NULL;
		int rc = record ? read_record(r, record, line, len - 1) : keep_torn(r, line, len);
		if (rc != 0)
			return rc;
	}
	return ferror(f) ? err_sys(r->e, -EIO, "%s", r->file) : 0;
}

static int read_file(struct reader *r, int dir_fd, uint64_t first)
{
	audit_file_name(first, r->file);
	int fd = openat(dir_fd, r->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f) {
		int code = -errno;
		fd_close(&fd);
		return err_sys(r->e, code, "%s", r->file);
	}
	uint64_t before = r->head->sequence;
	r->line = 1;
	int rc = r->first && first != before + 1 ? broken(r, "the file before this one is missing or cut short")
						 : read_lines(r, f);
	fclose(f);
	return rc;
}

int audit_read(int dir_fd, int (*each)(void *arg, const json_t *record), void *arg, struct audit_head *head,
	       struct err *e)
{
	struct reader r = {.each = each, .arg = arg, .head = head, .e = e};
	struct audit_files files;
	int rc = audit_files(dir_fd, &files, e);

	*head = (struct audit_head){.hash = AUDIT_GENESIS};
	for (size_t i = 0; rc == 0 && i < files.n; i++)
		rc = read_file(&r, dir_fd, files.first[i]);
	if (rc == 0 && r.first > r.retired + 1)
		rc = err_set(e, -EBADMSG,
			     "records up to %" PRIu64 " are missing, and no record says that they "
			     "were retired",
			     r.first - 1);
	/* What follows the last record may be a write that is under way. */
	free(r.torn);
	audit_files_clean(&files);
	return rc;
}
