/* setup: the document of log_carry. runtimed has checked the options. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/log/log.h"

#define SETUP_MAX (4u << 20)

static const char *text_of(const struct setup *s, const char *key)
{
	const char *text = json_string_value(json_object_get(s->doc, key));

	return text ? text : "";
}

int setup_read(int fd, const char *journal, struct setup *out, struct err *e)
{
	AUTO_FREE char *text = NULL;
	size_t len = 0;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(e, -errno, "read the setup");
	int r = fd_read_file(fd, SETUP_MAX, &text, &len, e);
	if (r < 0)
		return r;
	*out = (struct setup){.doc = json_loadb(text, len, 0, NULL), .journal = journal};
	out->options = json_object_get(out->doc, "Options");
	out->attributes = json_object_get(out->doc, "Attributes");
	out->driver = log_driver_find(text_of(out, "Driver"));
	if (!json_is_object(out->options) || !json_is_object(out->attributes) || !log_driver_remote(out->driver)) {
		setup_free(out);
		return err_set(e, -EINVAL, "log: the setup makes no sense");
	}
	out->tag = text_of(out, "Tag");
	out->id = text_of(out, "Id");
	out->name = text_of(out, "Name");
	out->image = text_of(out, "Image");
	out->image_id = text_of(out, "ImageId");
	out->command = text_of(out, "Command");
	out->hostname = text_of(out, "Hostname");
	out->created = json_integer_value(json_object_get(out->doc, "Created"));
	return 0;
}

void setup_free(struct setup *s)
{
	json_decref(s->doc);
	*s = (struct setup){0};
}
