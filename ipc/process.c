#include "ipc/process.h"

#include <stddef.h>
#include <string.h>

#include "lib/util.h"

static const struct {
	const char *name;
	uid_t offset;
	const char *owns;
} processes[PROC_LIMIT] = {
#define PROCESS(name, id, uid, owns) [id] = {#name, uid, owns},
#include "ipc/process.def"
#undef PROCESS
};

/* C names carry '_' where the world sees '-'. */
static const char *const dashed[PROC_LIMIT] = {
	[PROC_image_fetch] = "image-fetch",
	[PROC_image_unpack] = "image-unpack",
	[PROC_volume_mount] = "volume-mount",
};

const char *process_name(enum process_id id)
{
	if ((unsigned)id >= PROC_LIMIT)
		return NULL;
	return dashed[id] ? dashed[id] : processes[id].name;
}

enum process_id process_by_name(const char *name)
{
	for (enum process_id id = 1; id < PROC_LIMIT; id++)
		if (processes[id].name && strcmp(process_name(id), name) == 0)
			return id;
	return PROC_NONE;
}

const char *process_owns(enum process_id id)
{
	return (unsigned)id < PROC_LIMIT ? processes[id].owns : NULL;
}

uid_t process_uid(enum process_id id, uid_t base)
{
	if ((unsigned)id >= PROC_LIMIT || processes[id].offset == 0)
		return 0;
	return base + processes[id].offset;
}
