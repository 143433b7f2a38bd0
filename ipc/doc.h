/* doc: the JSON documents of messages: text for the wire, checked objects from it. */
#ifndef POUCH_IPC_DOC_H
#define POUCH_IPC_DOC_H

#include "ipc/message.h"

/* Texts made for one sending. */
struct ipc_texts {
	char *text[8];
	size_t count;
};

/* Before ipc_encode(): write each document that has `json` but no `raw` as text, which *texts keeps. */
int ipc_docs_prepare(const struct ipc_message *m, void *msg, struct ipc_texts *texts, struct err *e);
/* After ipc_encode(): take the texts out of the message again and free them. */
void ipc_docs_undo(const struct ipc_message *m, void *msg, struct ipc_texts *texts);

/* After ipc_decode(): parse and check each document against its schema. */
int ipc_docs_check(const struct ipc_message *m, void *msg, struct err *e);

/* Drop the JSON objects of a decoded message (ipc_release() does the rest). */
void ipc_docs_release(const struct ipc_message *m, void *msg);

#endif
