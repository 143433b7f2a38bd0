#include "ipc/message.h"
#include "lib/policy.h"
#include "lib/policy_private.h"
#include "lib/util.h"

const struct policy_permission *policy_permissions(size_t *n)
{
	static const struct policy_permission rows[] = {
#define PERMISSION(name, doc) {name, doc},
#include "lib/policy_permissions.def"
#undef PERMISSION
	};

	*n = ARRAY_LEN(rows);
	return rows;
}

bool policy_permission_exists(const char *pattern)
{
	size_t n;
	const struct policy_permission *rows = policy_permissions(&n);

	for (size_t i = 0; i < n; i++)
		if (policy_match(pattern, rows[i].name))
			return true;
	const struct ipc_message *const *m = ipc_messages(&n);
	for (size_t i = 0; i < n; i++)
		if (m[i]->op && policy_match(pattern, m[i]->op->permission))
			return true;
	return false;
}
