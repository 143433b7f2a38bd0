/* For a pass over the message tables that looks at the heads only. No guard: included per use. */
#define FIELD_(...)
#define END(name)
#include "ipc/fields-each.h"
