/*
 * fingerprint: of the tables, so that two processes of different builds refuse each other (HELLO). FNV-1a: against
 * skew, not against an enemy.
 */
#ifndef POUCH_IPC_FINGERPRINT_H
#define POUCH_IPC_FINGERPRINT_H

#include "ipc/schema.h"

#define FINGERPRINT_START 0xcbf29ce484222325u

uint64_t fingerprint_bytes(uint64_t h, const void *p, size_t n);
/* A number, whatever its type. */
uint64_t fingerprint_number(uint64_t h, uint64_t v);
/* NULL counts as a text of its own. */
uint64_t fingerprint_text(uint64_t h, const char *s);
/* A row of a document and all that lies below it; its doc text does not count. */
uint64_t fingerprint_field(uint64_t h, const struct schema_field *f);
/* Every document of ipc/schemas.def. */
uint64_t fingerprint_documents(uint64_t h);

#endif
