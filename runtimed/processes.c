#include "runtimed/processes.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <grp.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/util.h"

/* Of a command line; what is longer is cut. */
#define COMMAND_MAX 4096
#define CELL_MAX    (COMMAND_MAX + 1)

/* Numbers of /proc/PID/stat, proc(5), by their place there, from 3 on. */
enum {
	S_PPID = 4, S_PGRP, S_SESSION, S_TTY, S_TPGID, S_FLAGS,
	S_UTIME = 14, S_STIME, S_PRIORITY = 18, S_NICE, S_THREADS, S_STARTED = 22, S_VSIZE, S_RSS,
	S_WCHAN = 35, S_CPU = 39, S_POLICY = 41, S_LIMIT = 45
};

struct process {
	pid_t pid;
	int dir;
	char state, comm[64];
	long long stat[S_LIMIT];
	long ids[4], gids[4]; /* real, effective, saved, file system */
	double up;	      /* seconds since the host's start */
	time_t now;
};

struct column {
	const char *names; /* "pcpu|%cpu" */
	const char *title;
	void (*show)(const struct process *p, char out[CELL_MAX]);
};

/* ---- cells ---- */

#define SHOW(name)   static void show_##name(const struct process *p, char out[CELL_MAX])
#define NUMBER(name, value)                                                                                            \
	SHOW(name)                                                                                                     \
	{                                                                                                              \
		snprintf(out, CELL_MAX, "%lld", (long long)(value));                                                   \
	}

static double seconds(const struct process *p)
{
	return (double)(p->stat[S_UTIME] + p->stat[S_STIME]) / (double)sysconf(_SC_CLK_TCK);
}

static double age(const struct process *p)
{
	double a = p->up - (double)p->stat[S_STARTED] / (double)sysconf(_SC_CLK_TCK);

	return a > 0 ? a : 0;
}

static double cpu_percent(const struct process *p)
{
	return age(p) > 0 ? 100 * seconds(p) / age(p) : 0;
}

NUMBER(pid, p->pid)
NUMBER(ppid, p->stat[S_PPID])
NUMBER(pgid, p->stat[S_PGRP])
NUMBER(sid, p->stat[S_SESSION])
NUMBER(tpgid, p->stat[S_TPGID])
NUMBER(flags, p->stat[S_FLAGS] >> 6 & 7)
NUMBER(priority, p->stat[S_PRIORITY])
NUMBER(pri, 39 - p->stat[S_PRIORITY])
NUMBER(l_pri, 60 + p->stat[S_PRIORITY])
NUMBER(nice, p->stat[S_NICE])
NUMBER(threads, p->stat[S_THREADS])
NUMBER(processor, p->stat[S_CPU])
NUMBER(vsz, p->stat[S_VSIZE] / 1024)
NUMBER(sz, p->stat[S_VSIZE] / sysconf(_SC_PAGESIZE))
NUMBER(rss, p->stat[S_RSS] * (sysconf(_SC_PAGESIZE) / 1024))
NUMBER(c, cpu_percent(p) > 99 ? 99 : cpu_percent(p))
NUMBER(uid, p->ids[1])
NUMBER(ruid, p->ids[0])
NUMBER(gid, p->gids[1])
NUMBER(rgid, p->gids[0])
NUMBER(times, seconds(p))
NUMBER(etimes, age(p))

SHOW(addr)
{
	(void)p;
	snprintf(out, CELL_MAX, "-");
}

SHOW(state)
{
	snprintf(out, CELL_MAX, "%c", p->state);
}

/* As ps's BSD formats: the state with what is special about it. */
SHOW(stat)
{
	snprintf(out, CELL_MAX, "%c%s%s%s%s", p->state,
		 p->stat[S_NICE] < 0   ? "<"
		 : p->stat[S_NICE] > 0 ? "N"
				       : "",
		 p->stat[S_SESSION] == p->pid ? "s" : "", p->stat[S_THREADS] > 1 ? "l" : "",
		 p->stat[S_TPGID] == p->stat[S_PGRP] ? "+" : "");
}

SHOW(class)
{
	static const char *const words[] = {"TS", "FF", "RR", "B", "ISO", "IDL", "DLN"};
	long long policy = p->stat[S_POLICY];

	snprintf(out, CELL_MAX, "%s", policy >= 0 && policy < (long long)ARRAY_LEN(words) ? words[policy] : "?");
}

/* The files themselves: name services would load libraries of anybody's into this process. */
static void user_name(long uid, char out[CELL_MAX])
{
	FILE *f = fopen("/etc/passwd", "re");
	struct passwd *entry;

	snprintf(out, CELL_MAX, "%ld", uid);
	while (f && (entry = fgetpwent(f)))
		if (entry->pw_uid == (uid_t)uid) {
			snprintf(out, CELL_MAX, "%s", entry->pw_name);
			break;
		}
	if (f)
		fclose(f);
}

static void group_name(long gid, char out[CELL_MAX])
{
	FILE *f = fopen("/etc/group", "re");
	struct group *entry;

	snprintf(out, CELL_MAX, "%ld", gid);
	while (f && (entry = fgetgrent(f)))
		if (entry->gr_gid == (gid_t)gid) {
			snprintf(out, CELL_MAX, "%s", entry->gr_name);
			break;
		}
	if (f)
		fclose(f);
}

SHOW(user)
{
	user_name(p->ids[1], out);
}

SHOW(ruser)
{
	user_name(p->ids[0], out);
}

SHOW(group)
{
	group_name(p->gids[1], out);
}

SHOW(rgroup)
{
	group_name(p->gids[0], out);
}

SHOW(tty)
{
	const dev_t tty = (dev_t)p->stat[S_TTY];

	if (!tty)
		snprintf(out, CELL_MAX, "?");
	else if (major(tty) >= 136 && major(tty) <= 143)
		snprintf(out, CELL_MAX, "pts/%u", (major(tty) - 136) * 256 + minor(tty));
	else if (major(tty) == 4)
		snprintf(out, CELL_MAX, minor(tty) < 64 ? "tty%u" : "ttyS%u", minor(tty) - (minor(tty) < 64 ? 0 : 64));
	else
		snprintf(out, CELL_MAX, "%u:%u", major(tty), minor(tty));
}

SHOW(wchan)
{
	AUTO_CLOSE int fd = openat(p->dir, "wchan", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : fd_read_full(fd, out, 64, NULL);

	out[n > 0 ? n : 0] = '\0';
	if (n <= 0 || str_eq(out, "0"))
		snprintf(out, CELL_MAX, "-");
}

SHOW(pcpu)
{
	snprintf(out, CELL_MAX, "%.1f", cpu_percent(p));
}

SHOW(pmem)
{
	double all = (double)sysconf(_SC_PHYS_PAGES);

	snprintf(out, CELL_MAX, "%.1f", all > 0 ? 100 * (double)p->stat[S_RSS] / all : 0);
}

/* "[days-]hours:minutes:seconds" */
static void clock_text(long long s, char out[CELL_MAX])
{
	int n = s >= 86400 ? snprintf(out, 32, "%lld-", s / 86400) : 0;

	snprintf(out + n, CELL_MAX - 32, "%02lld:%02lld:%02lld", s / 3600 % 24, s / 60 % 60, s % 60);
}

SHOW(time)
{
	clock_text((long long)seconds(p), out);
}

SHOW(bsdtime)
{
	long long s = (long long)seconds(p);

	snprintf(out, CELL_MAX, "%lld:%02lld", s / 60, s % 60);
}

SHOW(etime)
{
	long long s = (long long)age(p);

	if (s < 3600)
		snprintf(out, CELL_MAX, "%02lld:%02lld", s / 60, s % 60);
	else
		clock_text(s, out);
}

static void date_text(const struct process *p, const char *format, char out[CELL_MAX])
{
	time_t started = p->now - (time_t)age(p);
	struct tm tm;

	localtime_r(&started, &tm);
	out[strftime(out, 64, format, &tm)] = '\0';
}

SHOW(stime)
{
	date_text(p, age(p) < 86400 ? "%H:%M" : age(p) < 365 * 86400.0 ? "%b%d" : "%Y", out);
}

SHOW(lstart)
{
	date_text(p, "%a %b %e %H:%M:%S %Y", out);
}

SHOW(comm)
{
	snprintf(out, CELL_MAX, "%s", p->comm);
}

SHOW(args)
{
	AUTO_CLOSE int fd = openat(p->dir, "cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : fd_read_full(fd, out, COMMAND_MAX, NULL);

	while (n > 0 && out[n - 1] == '\0')
		n--;
	for (ssize_t i = 0; i < n; i++)
		if (out[i] == '\0')
			out[i] = ' ';
	out[n > 0 ? n : 0] = '\0';
	if (n <= 0)
		snprintf(out, CELL_MAX, "[%s]", p->comm);
}

static const struct column all[] = {
	{"pid|tgid", "PID", show_pid},
	{"ppid", "PPID", show_ppid},
	{"pgid|pgrp", "PGID", show_pgid},
	{"sid|sess|session", "SID", show_sid},
	{"tpgid", "TPGID", show_tpgid},
	{"uid|euid", "UID", show_uid},
	{"ruid", "RUID", show_ruid},
	{"gid|egid", "GID", show_gid},
	{"rgid", "RGID", show_rgid},
	{"user|euser|uname", "USER", show_user},
	{"ruser", "RUSER", show_ruser},
	{"group|egroup", "GROUP", show_group},
	{"rgroup", "RGROUP", show_rgroup},
	{"c", "C", show_c},
	{"pcpu|%cpu", "%CPU", show_pcpu},
	{"pmem|%mem", "%MEM", show_pmem},
	{"vsz|vsize", "VSZ", show_vsz},
	{"rss|rssize|rsz", "RSS", show_rss},
	{"sz|size", "SZ", show_sz},
	{"tty|tt|tname", "TTY", show_tty},
	{"stat", "STAT", show_stat},
	{"state|s", "S", show_state},
	{"f|flag|flags", "F", show_flags},
	{"cls|class|policy", "CLS", show_class},
	{"pri", "PRI", show_pri},
	{"priority", "PRI", show_priority},
	{"opri", "PRI", show_l_pri},
	{"ni|nice", "NI", show_nice},
	{"nlwp|thcount", "NLWP", show_threads},
	{"psr", "PSR", show_processor},
	{"addr", "ADDR", show_addr},
	{"wchan", "WCHAN", show_wchan},
	{"start|stime|bsdstart|start_time", "START", show_stime},
	{"lstart", "STARTED", show_lstart},
	{"time|cputime", "TIME", show_time},
	{"bsdtime", "TIME", show_bsdtime},
	{"times|cputimes", "TIME", show_times},
	{"etime", "ELAPSED", show_etime},
	{"etimes", "ELAPSED", show_etimes},
	{"comm|ucmd|ucomm", "COMMAND", show_comm},
	{"args|cmd|command", "COMMAND", show_args},
};

/* ---- arguments ---- */

static bool has_name(const char *names, const char *name, size_t len)
{
	for (const char *at = names; *at;) {
		size_t n = strcspn(at, "|");
		if (n == len && strncasecmp(at, name, len) == 0)
			return true;
		at += n + (at[n] == '|');
	}
	return false;
}

static int add_column(struct columns *c, const char *name, size_t len, const char *title, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (!has_name(all[i].names, name, len))
			continue;
		if (c->n == COLUMNS_MAX)
			return err_http(e, 400, "ps_args: more than %d columns", COLUMNS_MAX);
		c->titles[c->n] = title ? xstrdup(title) : NULL;
		c->v[c->n++] = &all[i];
		return 0;
	}
	return err_http(e, 400, "ps_args: unknown column \"%.*s\"", (int)len, name);
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

/* ---- rows ---- */

static bool read_text(int dir, const char *name, char *out, size_t size)
{
	AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : fd_read_full(fd, out, size - 1, NULL);

	out[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static void read_ids(const char *status, const char *key, long ids[4])
{
	const char *line = strstr(status, key);
	char *at = line ? (char *)(uintptr_t)line + strlen(key) : NULL;

	for (int i = 0; at && i < 4; i++)
		ids[i] = strtol(at, &at, 10);
}

static bool read_process(struct process *p)
{
	char text[4096], *at, *name;
	struct timespec up;

	if (!read_text(p->dir, "stat", text, sizeof text) || !(name = strchr(text, '(')) || !(at = strrchr(text, ')')))
		return false;
	/* A name may hold anything, parentheses too. */
	snprintf(p->comm, sizeof p->comm, "%.*s", (int)(at - name - 1), name + 1);
	p->state = at[2];
	at += 3;
	for (int i = 4; i < S_LIMIT; i++)
		p->stat[i] = strtoll(at, &at, 10);
	if (!read_text(p->dir, "status", text, sizeof text))
		return false;
	read_ids(text, "\nUid:", p->ids);
	read_ids(text, "\nGid:", p->gids);
	clock_gettime(CLOCK_BOOTTIME, &up);
	p->up = (double)up.tv_sec + (double)up.tv_nsec / 1e9;
	p->now = time(NULL);
	return true;
}

/* What is no UTF-8, or moves a terminal's cursor, is shown as '?'. */
static json_t *cell(char *text)
{
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	json_t *v = json_string(text);
	for (char *p = text; !v && *p; p++)
		if (*p & 0x80)
			*p = '?';
	return v ? v : json_string(text);
}

json_t *process_row(const struct columns *c, pid_t pid, int dir)
{
	struct process p = {.pid = pid, .dir = dir};
	char text[CELL_MAX];

	if (!read_process(&p))
		return NULL;
	json_t *row = json_array();
	for (size_t i = 0; i < c->n; i++) {
		c->v[i]->show(&p, text);
		json_array_append_new(row, cell(text));
	}
	return row;
}
