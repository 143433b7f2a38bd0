/* record: networks and attachments as the documents that the database keeps, and back. */
#ifndef POUCH_NETD_RECORD_H
#define POUCH_NETD_RECORD_H

#include "netd/network.h"

json_t *network_record(const struct network *n);
json_t *attachment_record(const struct attachment *a);
/* Puts it into the list; endpoints of networks that are gone are left out. */
int attachment_restore(struct networks *all, const json_t *doc, struct err *e);
/* Without the record. */
void attachment_free(struct networks *all, struct attachment *a);
/* 64 random hexadecimal digits and a NUL. */
void record_random_id(char id[65]);

#endif
