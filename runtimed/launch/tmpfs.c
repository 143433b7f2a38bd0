/* tmpfs: options of a tmpfs, as HostConfig.Tmpfs and TmpfsOptions write them, over the engine's own. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/util.h"
#include "runtimed/launch/room.h"

/* Flags and their opposites: the later one counts. */
static const struct {
	const char *on, *off;
} flags[] = {
	{"exec", "noexec"},   {"suid", "nosuid"},	  {"dev", "nodev"},	      {"rw", "ro"},
	{"atime", "noatime"}, {"diratime", "nodiratime"}, {"relatime", "norelatime"}, {"strictatime", "nostrictatime"},
	{"async", "sync"},
};

static bool is_amount(const char *v, const char *units)
{
	size_t n = strspn(v, "0123456789");

	return n && n < 19 && (v[n] == '\0' || (strchr(units, v[n]) && v[n + 1] == '\0'));
}

static bool is_bytes(const char *v)
{
	return is_amount(v, "kKmMgG%");
}

static bool is_count(const char *v)
{
	return is_amount(v, "kKmMgG");
}

static bool is_id(const char *v)
{
	return is_amount(v, "") && strlen(v) < 11;
}

static bool is_mode(const char *v)
{
	size_t n = strspn(v, "01234567");

	return n && n <= 5 && v[n] == '\0';
}

static bool is_policy(const char *v)
{
	return *v != '\0';
}

static const struct {
	const char *key;
	bool (*right)(const char *value);
} values[] = {
	{"size", is_bytes}, {"nr_blocks", is_count}, {"nr_inodes", is_count}, {"mode", is_mode},
	{"uid", is_id},	    {"gid", is_id},	     {"mpol", is_policy},
};

struct list {
	char *v[64];
	size_t n;
};

/* Options that `like` takes the place of: its opposite, itself, or the same key. */
static void take_out(struct list *l, const char *like, size_t len)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (strncmp(l->v[i], like, len) == 0 && (l->v[i][len] == '\0' || l->v[i][len] == '='))
			free(l->v[i]);
		else
			l->v[kept++] = l->v[i];
	}
	l->n = kept;
}

static bool set_flag(struct list *l, const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (strcmp(word, flags[i].on) != 0 && strcmp(word, flags[i].off) != 0)
			continue;
		take_out(l, flags[i].on, strlen(flags[i].on));
		take_out(l, flags[i].off, strlen(flags[i].off));
		l->v[l->n++] = xstrdup(word);
		return true;
	}
	return false;
}

static bool set_value(struct list *l, const char *word)
{
	size_t len = strcspn(word, "=");

	for (size_t i = 0; word[len] && i < ARRAY_LEN(values); i++) {
		if (strlen(values[i].key) != len || strncmp(values[i].key, word, len) != 0 ||
		    !values[i].right(word + len + 1))
			continue;
		take_out(l, word, len);
		l->v[l->n++] = xstrdup(word);
		return true;
	}
	return false;
}

int tmpfs_options(const char *destination, const char *given, char **out, struct err *e)
{
	struct list l = {.n = 0};
	AUTO_FREE char *copy = xasprintf("noexec,nosuid,nodev,%s", given), *text = xstrdup("");
	char *save = NULL;
	int r = 0;

	for (char *word = strtok_r(copy, ",", &save); word && r == 0; word = strtok_r(NULL, ",", &save))
		if (l.n == ARRAY_LEN(l.v) || (!set_flag(&l, word) && !set_value(&l, word)))
			r = err_http(e, 400, "Tmpfs %s: invalid option \"%s\"", destination, word);
	for (size_t i = 0; i < l.n; i++) {
		char *longer = xasprintf("%s%s%s", text, *text ? "," : "", l.v[i]);
		free(text);
		free(l.v[i]);
		text = longer;
	}
	*out = r == 0 ? STEAL(text) : NULL;
	return r;
}
