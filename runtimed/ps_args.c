/* ps_args: which columns the arguments of ps ask for. */
#include <errno.h>
#include <string.h>

#include "lib/util.h"
#include "runtimed/processes.h"

static int add_column(struct columns *c, const char *name, size_t len, const char *title, struct err *e)
{
	const struct column *column = column_find(name, len);

	if (!column)
		return err_http(e, 400, "ps_args: unknown column \"%.*s\"", (int)len, name);
	if (c->n == COLUMNS_MAX)
		return err_http(e, 400, "ps_args: more than %d columns", COLUMNS_MAX);
	c->titles[c->n] = title ? xstrdup(title) : NULL;
	c->v[c->n++] = column;
	return 0;
}

/* "pid,user,comm"; "pid=NUMBER" is one with a title of its own, which goes on to the end. */
static int add_list(struct columns *c, const char *list, struct err *e)
{
	int r = 0;

	if (!*list)
		return err_http(e, 400, "ps_args: -o needs a list of columns");
	for (const char *at = list; r == 0 && *at;) {
		size_t n = strcspn(at, ",=");
		if (at[n] == '=')
			return add_column(c, at, n, at + n + 1, e);
		r = add_column(c, at, n, NULL, e);
		at += n + (at[n] == ',');
	}
	return r;
}

/* A format of ps; the later one counts. */
static void use_format(struct columns *c, const char *list)
{
	struct err e;

	columns_clean(c);
	for (const char *at = list; *at;) {
		size_t n = strcspn(at, ",");
		AUTO_FREE char *one = xstrndup(at, n);
		add_list(c, one, &e);
		at += n + (at[n] == ',');
	}
}

/* Options with and without a dash that are a format or ask for nothing more; `format` NULL. */
static const struct {
	char letter;
	bool dash;
	const char *format;
} options[] = {
	{'e', true, NULL},
	{'A', true, NULL},
	{'w', true, NULL},
	{'a', false, NULL},
	{'x', false, NULL},
	{'w', false, NULL},
	{'f', true, "user=UID,pid,ppid,c,stime=STIME,tty,time,args=CMD"},
	{'F', true, "user=UID,pid,ppid,c,sz,rss,psr,stime=STIME,tty,time,args=CMD"},
	{'l', true, "f,s,uid,pid,ppid,c,opri,ni,addr,sz,wchan,tty,time,comm=CMD"},
	{'j', true, "pid,pgid,sid,tty,time,comm=CMD"},
	{'u', false, "user,pid,pcpu,pmem,vsz,rss,tty,stat,start,bsdtime,args"},
	{'l', false, "f,uid,pid,ppid,priority,ni,vsz,rss,wchan,stat,tty,bsdtime,args"},
	{'j', false, "ppid,pid,pgid,sid,tty,tpgid,stat,uid,bsdtime,args"},
};

struct reading {
	struct columns *out;
	bool listed; /* -o: its columns are added to each other, and no format counts beside it */
	struct err *e;
};

static int add_listed(struct reading *r, const char *list)
{
	if (!r->listed)
		columns_clean(r->out);
	r->listed = true;
	return add_list(r->out, list, r->e);
}

/* One word of options; `next` is the word behind it. Returns how many words it took. */
static int read_word(struct reading *r, const char *word, const char *next)
{
	bool dash = *word == '-';

	if (str_starts(word, "--"))
		return err_http(r->e, 400, "ps_args: the option %s is not supported", word);
	for (const char *p = word + dash; *p; p++) {
		const char *format = NULL;
		bool known = false;
		if (*p == 'o') {
			const char *list = p[1] ? p + 1 : next;
			int rc = add_listed(r, list ? list : "");
			return rc < 0 ? rc : p[1] ? 1 : 2;
		}
		for (size_t i = 0; i < ARRAY_LEN(options) && !known; i++) {
			known = options[i].letter == *p && options[i].dash == dash;
			format = options[i].format;
		}
		if (!known)
			return err_http(r->e, 400, "ps_args: the option %s%c is not supported", dash ? "-" : "", *p);
		if (format && !r->listed)
			use_format(r->out, format);
	}
	return 1;
}

int columns_parse(const char *arguments, struct columns *out, struct err *e)
{
	AUTO_FREE char *copy = xstrdup(arguments);
	char *words[64], *save = NULL;
	struct reading r = {.out = out, .e = e};
	size_t n = 0;

	*out = (struct columns){.n = 0};
	for (char *w = strtok_r(copy, " \t\n", &save); w; w = strtok_r(NULL, " \t\n", &save)) {
		if (n == ARRAY_LEN(words))
			return err_http(e, 400, "ps_args: too many words");
		words[n++] = w;
	}
	use_format(out, "pid,tty,time,comm=CMD");
	for (size_t i = 0; i < n;) {
		int took = read_word(&r, words[i], i + 1 < n ? words[i + 1] : NULL);
		if (took < 0) {
			columns_clean(out);
			return took;
		}
		i += (size_t)took;
	}
	return 0;
}

void columns_clean(struct columns *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->titles[i]);
	*c = (struct columns){.n = 0};
}

json_t *columns_titles(const struct columns *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->n; i++)
		json_array_append_new(list, json_string(c->titles[i] ? c->titles[i] : c->v[i]->title));
	return list;
}
