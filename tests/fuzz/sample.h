/* sample: valid values made from the tables alone: texts of each grammar, documents of each schema, whole messages. */
#ifndef POUCH_TESTS_FUZZ_SAMPLE_H
#define POUCH_TESTS_FUZZ_SAMPLE_H

#include <jansson.h>

#include "ipc/codec.h"

/* A text that fits the grammar; never empty. */
const char *sample_text(enum grammar g);

/* A fresh descriptor of the kind, the caller's to close. */
int sample_fd(enum fd_kind kind);

/* A document with every field that a client may set (full), or only those that it must set; NULL for SCH_OPAQUE. */
json_t *sample_document(enum schema_id id, bool full);

struct sample {
	void *msg; /* a struct of the message, ready for ipc_encode() */
	char *texts[64];
	size_t ntexts;
};

/* A message with every field (full) or only the required ones; sample_clean() closes its descriptors too. */
void sample_message(const struct ipc_message *m, bool full, struct sample *out);
void sample_clean(const struct ipc_message *m, struct sample *s);

#endif
