#include "ipc/doc.h"

#include <errno.h>
#include <jansson.h>

#include "lib/util.h"

static struct ipc_doc *doc_at(const struct ipc_message *m, size_t i, void *msg)
{
	return m->fields[i].type == T_DOC ? (struct ipc_doc *)((char *)msg + m->fields[i].offset) : NULL;
}

int ipc_docs_prepare(const struct ipc_message *m, void *msg, struct ipc_texts *texts, struct err *e)
{
	texts->count = 0;
	for (size_t i = 0; i < m->nfields; i++) {
		struct ipc_doc *doc = doc_at(m, i, msg);
		if (!doc || doc->raw.data || !doc->json)
			continue;
		char *text = json_dumps(doc->json, JSON_COMPACT | JSON_ENCODE_ANY);
		if (!text || texts->count == ARRAY_LEN(texts->text)) {
			free(text);
			return err_set(e, -EINVAL, "%s.%s: cannot be written as JSON", m->name, m->fields[i].name);
		}
		texts->text[texts->count++] = text;
		doc->raw = (struct ipc_bytes){.data = text, .len = strlen(text)};
	}
	return 0;
}

void ipc_docs_undo(const struct ipc_message *m, void *msg, struct ipc_texts *texts)
{
	for (size_t i = 0; i < m->nfields; i++) {
		struct ipc_doc *doc = doc_at(m, i, msg);
		for (size_t k = 0; doc && k < texts->count; k++)
			if (doc->raw.data == texts->text[k])
				doc->raw = (struct ipc_bytes){0};
	}
	for (size_t k = 0; k < texts->count; k++)
		free_cleared(texts->text[k]);
	texts->count = 0;
}

int ipc_docs_check(const struct ipc_message *m, void *msg, struct err *e)
{
	for (size_t i = 0; i < m->nfields; i++) {
		struct ipc_doc *doc = doc_at(m, i, msg);
		if (!doc || !doc->raw.data)
			continue;
		int r = schema_parse((enum schema_id)m->fields[i].rule, doc->raw.data, doc->raw.len, &doc->json, e);
		if (r < 0) {
			ipc_docs_release(m, msg);
			return r;
		}
	}
	return 0;
}

void ipc_docs_release(const struct ipc_message *m, void *msg)
{
	for (size_t i = 0; i < m->nfields; i++) {
		struct ipc_doc *doc = doc_at(m, i, msg);
		if (doc) {
			json_decref(doc->json);
			doc->json = NULL;
		}
	}
}
