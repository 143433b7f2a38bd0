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

/* Numbers of /proc/PID/stat, proc(5), by their place there, from 3 on. */
enum {
	S_PPID = 4,
	S_PGRP,
	S_SESSION,
	S_TTY,
	S_TPGID,
	S_FLAGS,
	S_UTIME = 14,
	S_STIME,
	S_PRIORITY = 18,
	S_NICE,
	S_THREADS,
	S_STARTED = 22,
	S_VSIZE,
	S_RSS,
	S_WCHAN = 35,
	S_CPU = 39,
	S_POLICY = 41,
	S_LIMIT = 45
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

/* ---- cells ---- */

#define SHOW(name) static void show_##name(const struct process *p, char out[CELL_MAX])
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
	{"args|command", "COMMAND", show_args},
	{"cmd", "CMD", show_args},
};

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

const struct column *column_find(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (has_name(all[i].names, name, len))
			return &all[i];
	return NULL;
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
