/* gen-docs: pages of docs/ that are made from the tables: messages, routes, documents. */
#ifndef POUCH_TOOLS_GEN_DOCS_H
#define POUCH_TOOLS_GEN_DOCS_H

#include "ipc/message.h"

void gen_protocol(void);
void gen_api(void);
void gen_schema(void);
void gen_config(void);
void gen_sysusers(void);
void gen_policy(void);
void gen_logging(void);

/* "a container's name, id or id prefix, 1 to 256 bytes": what a field of a message may hold, for a table's cell. */
void gen_rule(const struct ipc_field *f, char *out, size_t size);
/* Print with '|' escaped. */
void gen_cell(const char *text);

#endif
