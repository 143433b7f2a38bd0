/*
 * audit_log: the files of the audit chain, as auditd writes them and `pouchd ctl audit` reads them.
 *
 * A directory has files audit-SEQUENCE.jsonl, named for the first record in them. A record is one line of JSON:
 *   {"seq": 1 and up without a gap, "time": …, "prev": SHA-256 of the line before (64 zeros for the first), …}
 * The chain runs on from file to file. Bytes that a torn write has left are covered by the record behind them, whose
 * "torn" has their number and SHA-256. A record "rotated" says up to which sequence old files have been retired.
 */
#ifndef POUCH_LIB_AUDIT_LOG_H
#define POUCH_LIB_AUDIT_LOG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/sha256.h"

#define AUDIT_LINE_MAX (64u << 10)
#define AUDIT_NAME_MAX 40
#define AUDIT_GENESIS  "0000000000000000000000000000000000000000000000000000000000000000"

/* audit-0000000000000001.jsonl */
void audit_file_name(uint64_t first, char name[AUDIT_NAME_MAX]);

struct audit_files {
	uint64_t *first; /* ascending */
	size_t n;
};

/* The files in the directory; free with audit_files_clean(). */
int audit_files(int dir_fd, struct audit_files *out, struct err *e);
void audit_files_clean(struct audit_files *files);

/* The hash of a line (without its newline), which the next record has as "prev". */
void audit_line_hash(const char *line, size_t len, char hex[SHA256_HEX]);

/* A line as a record; NULL when it is none. A new reference. */
json_t *audit_record(const char *line, size_t len);

struct audit_head {
	uint64_t sequence; /* of the last record; 0: none */
	char hash[SHA256_HEX];
};

/*
 * Read every file in order. `each` (may be NULL) is called for each record, in sequence; a result other than 0 ends the
 * reading with it. -EBADMSG when the chain is broken, with file, line and what is wrong: a record that was changed,
 * left out, moved or put in; files that are missing. *head is where the chain ends.
 */
int audit_read(int dir_fd, int (*each)(void *arg, const json_t *record), void *arg, struct audit_head *head,
	       struct err *e);

/* What a record's "stage" can be; NULL at the end. */
extern const char *const audit_stages[];

#endif
