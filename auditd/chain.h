/* chain: the writing end of the audit log (lib/audit_log.h says what the files are). */
#ifndef POUCH_AUDITD_CHAIN_H
#define POUCH_AUDITD_CHAIN_H

#include <jansson.h>

#include "lib/audit_log.h"

struct chain;

/*
 * Open the log in the directory `dir_fd` (borrowed) and find its end; bytes of a torn last line stay, and are accounted
 * for by the next record. -EBADMSG when the newest file ends in something that is neither record nor torn record.
 */
int chain_open(int dir_fd, uint64_t rotate_size, unsigned rotate_count, struct chain **out, struct err *e);
/* Syncs and closes. */
void chain_free(struct chain *c);
void chain_set_limits(struct chain *c, uint64_t rotate_size, unsigned rotate_count);

/*
 * Append `record` (its members follow seq, time and prev; borrowed). 0 when it is in the file whole; *line (may
 * be NULL) is then its line, to be freed. -errno when it is not in the chain: nothing of it counts.
 */
int chain_append(struct chain *c, const json_t *record, char **line, struct err *e);
/* What was appended is on the disk. */
int chain_sync(struct chain *c, struct err *e);
struct audit_head chain_head(const struct chain *c);

#endif
