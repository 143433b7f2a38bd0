/* dist/sysusers.d/pouch.conf: names for the ids of the engine's processes on the default root. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/config_derive.h"
#include "lib/daemon.h"
#include "tools/gen-docs/gen.h"

void gen_sysusers(void)
{
	char text[32];
	const char *number = config_derive("ids.base", DAEMON_DEFAULT_ROOT, text, sizeof text);
	uid_t base = (uid_t)strtoul(number, NULL, 10);

	printf("# Made from ipc/process.def by \"make docs\"; do not edit. See sysusers.d(5).\n"
	       "# Members of the group pouch may use the engine's socket, which is as good as being root.\n"
	       "g pouch - -\n"
	       "# The engine works without these names: its processes' ids come from ids.base of pouch.json(5).\n");
	for (int id = 1; id < PROC_LIMIT; id++) {
		uid_t uid = process_name((enum process_id)id) ? process_uid((enum process_id)id, base) : 0;
		if (uid)
			printf("u pouch-%s %u \"Pouch container engine\" - -\n", process_name((enum process_id)id),
			       (unsigned)uid);
	}
}
