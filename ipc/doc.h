/* doc: the JSON documents of messages: text for the wire, checked objects from it. */
#ifndef POUCH_IPC_DOC_H
#define POUCH_IPC_DOC_H

#include "ipc/message.h"

/* Before ipc_encode(): dump each document that has `json` but no `raw`. The text is kept in *texts (free with ipc_docs_free). */
struct ipc_texts {
	char *text[8];
	size_t count;
};
int ipc_docs_prepare(const struct ipc_message *m, void *msg, struct ipc_texts *texts, struct err *e);
void ipc_docs_free(struct ipc_texts *texts);

/* After ipc_decode(): parse and check each document against its schema. */
int ipc_docs_check(const struct ipc_message *m, void *msg, struct err *e);

/* Drop the JSON objects of a decoded message (ipc_release() does the rest). */
void ipc_docs_release(const struct ipc_message *m, void *msg);

#endif
