#include "lib/mount_options.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "lib/util.h"

/* The words that mount(8) turns into flags; all others are the file system's. */
static const struct {
	const char *word;
	unsigned long flag;
	bool clears;
} words[] = {
	{"defaults", 0, false},
	{"ro", MS_RDONLY, false},
	{"rw", MS_RDONLY, true},
	{"bind", MS_BIND, false},
	{"rbind", MS_BIND | MS_REC, false},
	{"nosuid", MS_NOSUID, false},
	{"suid", MS_NOSUID, true},
	{"nodev", MS_NODEV, false},
	{"dev", MS_NODEV, true},
	{"noexec", MS_NOEXEC, false},
	{"exec", MS_NOEXEC, true},
	{"sync", MS_SYNCHRONOUS, false},
	{"async", MS_SYNCHRONOUS, true},
	{"dirsync", MS_DIRSYNC, false},
	{"noatime", MS_NOATIME, false},
	{"atime", MS_NOATIME, true},
	{"nodiratime", MS_NODIRATIME, false},
	{"relatime", MS_RELATIME, false},
	{"norelatime", MS_RELATIME, true},
	{"strictatime", MS_STRICTATIME, false},
	{"mand", MS_MANDLOCK, false},
	{"nomand", MS_MANDLOCK, true},
	{"lazytime", MS_LAZYTIME, false},
};

static bool take_word(struct mount_options *o, const char *word, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strlen(words[i].word) != len || memcmp(words[i].word, word, len) != 0)
			continue;
		if (words[i].clears)
			o->flags &= ~words[i].flag;
		else
			o->flags |= words[i].flag;
		return true;
	}
	return false;
}

int mount_options_parse(const char *text, struct mount_options *out, struct err *e)
{
	size_t used = 0;

	*out = (struct mount_options){0};
	while (text && *text) {
		size_t len = strcspn(text, ",");

		if (len && !take_word(out, text, len)) {
			if (used + len + 2 > sizeof out->data)
				return err_set(e, -EINVAL, "mount options longer than %zu bytes", sizeof out->data - 1);
			if (used)
				out->data[used++] = ',';
			memcpy(out->data + used, text, len);
			used += len;
			out->data[used] = '\0';
		}
		text += len + (text[len] == ',');
	}
	return 0;
}
