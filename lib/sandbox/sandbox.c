#include "lib/sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/config.h"
#include "lib/log.h"
#include "lib/sandbox/calls.h"
#include "lib/sandbox/landlock.h"
#include "lib/sandbox/power.h"
#include "lib/sandbox/profile.h"
#include "lib/sandbox/root.h"
#include "lib/util.h"

#ifdef POUCH_SANITIZED
/* LeakSanitizer stops its process with a tracer, which a confined one cannot have. */
static int confined;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return confined;
}
#endif

/* ---- before ---- */

int sandbox_begin(unsigned passed, struct err *e)
{
	for (int fd = 0; fd < 3; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd)
			return err_sys(e, -errno, "sandbox: /dev/null");
	}
	if (close_range(3 + passed, ~0u, 0) < 0)
		return err_sys(e, -errno, "sandbox: close_range");
	if (passed && close_range(3, 2 + passed, CLOSE_RANGE_CLOEXEC) < 0)
		return err_sys(e, -errno, "sandbox: close_range");
	umask(077);
#ifndef POUCH_SANITIZED
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(e, -errno, "sandbox: dumpable");
#endif
	return 0;
}

int sandbox_proc_open(enum process_id id, struct err *e)
{
	const struct sandbox_profile *profile = sandbox_profile(id);
	struct mount_attr attr = {.attr_set =
					  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC};
	AUTO_CLOSE int tree = -1;

	if (!profile->proc) {
		if (e)
			e->code = 0;
		return -1;
	}
	if (profile->keeps) {
		int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
		return proc < 0 ? err_sys(e, -errno, "open /proc") : proc;
	}
	/* A clone that is attached nowhere: ".." of its root is itself. */
	tree = open_tree(AT_FDCWD, "/proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return err_sys(e, -errno, "sandbox: clone /proc");
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
		return err_sys(e, -errno, "sandbox: /proc read-only");
	return STEAL_FD(tree);
}

/* ---- entering ---- */

/*
 * Lower only: raising a hard limit takes SYS_RESOURCE, which the engine may lack. `hard`: for good; without, children
 * can still have what the engine had.
 */
static int set_limits(const struct sandbox_limit *limits, bool hard, struct err *e)
{
	for (; limits && limits->resource >= 0; limits++) {
		struct rlimit now;

		if (prlimit(0, (__rlimit_resource_t)limits->resource, NULL, &now) < 0)
			return err_sys(e, -errno, "sandbox: limit %d", limits->resource);
		/* Up to the hard limit: our processes wait with epoll, never with select(2). */
		now.rlim_cur = now.rlim_max < limits->most ? now.rlim_max : limits->most;
		if (hard)
			now.rlim_max = now.rlim_cur;
		if (prlimit(0, (__rlimit_resource_t)limits->resource, &now, NULL) < 0)
			return err_sys(e, -errno, "sandbox: limit %d", limits->resource);
	}
	return 0;
}

static int collect_paths(enum process_id id, const struct sandbox_profile *profile, const struct sandbox_args *args,
			 struct paths *out, struct err *e)
{
	char path[PATH_MAX];

	if (profile->state && args->root_fd < 0)
		return err_set(e, -EINVAL, "sandbox: %s has no state directory", process_name(id));
	if (profile->state) {
		snprintf(path, sizeof path, "%s/%s", args->root, process_name(id));
		paths_add_fd(out, path, args->root_fd, PATH_READ | PATH_WRITE | profile->state_use);
	}
	for (enum process_id peer = 1; peer < PROC_LIMIT; peer++) {
		if (!(profile->peers >> peer & 1) || !process_name(peer))
			continue;
		snprintf(path, sizeof path, "%s/ipc/%s.sock", args->run, process_name(peer));
		paths_add(out, path, PATH_CONNECT);
	}
	for (const struct sandbox_path *p = profile->paths; p && p->path; p++)
		paths_add(out, p->path, p->use);
	if (profile->configured)
		profile->configured(args->config, out);
	if (out->code < 0 && e)
		*e = out->error;
	return out->code;
}

/* The old descriptor of the state directory leads out of the new root; the new one, under its number, does not. */
static int replace_state(const char *root, enum process_id id, int fd, struct err *e)
{
	char path[PATH_MAX];
	AUTO_CLOSE int dir = -1;

	snprintf(path, sizeof path, "%s/%s", root, process_name(id));
	dir = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, -errno, "sandbox: %s", path);
	return dup3(dir, fd, O_CLOEXEC) < 0 ? err_sys(e, -errno, "sandbox: %s", path) : 0;
}

static int enter_namespaces(const struct sandbox_profile *profile, struct paths *paths, struct sandbox_report *report,
			    struct err *e)
{
	int r;

	if (profile->namespaces && unshare(profile->namespaces) < 0)
		return err_sys(e, -errno, "sandbox: namespaces");
	report->new_net = profile->namespaces & CLONE_NEWNET;
	if (!(profile->namespaces & CLONE_NEWNS))
		return 0;
	if ((r = root_enter(paths, e)) < 0)
		return r;
	report->new_root = true;
	return 0;
}

static int enter_landlock(const struct sandbox_profile *profile, const struct paths *paths, int proc_fd,
			  struct sandbox_report *report, struct err *e)
{
	struct landlock_use uses[PATHS_MAX + 1];
	size_t n = 0;

	/*
	 * Every ruleset denies links and renames between directories but beneath what it grants them: who learns its
	 * directories later has no ruleset before.
	 */
	if (profile->second.calls)
		return 0;
	for (; n < paths->n; n++)
		uses[n] = (struct landlock_use){paths->v[n].tree, paths->v[n].use};
	if (profile->proc && proc_fd >= 0)
		uses[n++] = (struct landlock_use){proc_fd, PATH_READ};
	return landlock_enter(uses, n, profile->landlock_files, profile->landlock_tcp, profile->landlock_scope, report,
			      e);
}

static int enter(enum process_id id, const struct sandbox_profile *profile, const struct sandbox_args *args,
		 struct paths *paths, struct sandbox_report *report, struct err *e)
{
	uid_t ids = profile->ids == IDS_OWN ? process_uid(id, args->config->ids_base) : 0;
	uint64_t bounding = profile->bounding | profile->first.capabilities | profile->second.capabilities;
	uid_t before = geteuid();
	int r;

	if ((r = collect_paths(id, profile, args, paths, e)) < 0 ||
	    (r = enter_namespaces(profile, paths, report, e)) < 0)
		return r;
	if (profile->state && report->new_root && (r = replace_state(args->root, id, args->root_fd, e)) < 0)
		return r;
	if ((r = set_limits(profile->limits, true, e)) < 0 ||
	    (r = power_drop(ids, ids, profile->first.capabilities, bounding, report, e)) < 0 ||
	    (r = enter_landlock(profile, paths, args->proc_fd, report, e)) < 0 || (r = power_verify(report, e)) < 0 ||
	    (r = power_prove(before, report, e)) < 0 || (r = power_verify(report, e)) < 0)
		return r;
	paths_free(paths);
	if ((r = calls_enter(profile->first.calls, e)) < 0)
		return r;
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 2)
		return err_set(e, -EPERM, "sandbox: the filter of system calls is not in force");
	report->seccomp = true;
	return 0;
}

int sandbox_enter(enum process_id id, const struct sandbox_args *args, struct sandbox_report *report, struct err *e)
{
	const struct sandbox_profile *profile = sandbox_profile(id);
	struct paths paths = {0};
	int r;

	*report = (struct sandbox_report){.uid = geteuid(), .gid = getegid(), .keeps = profile->keeps};
	if (!process_name(id))
		return err_set(e, -EINVAL, "sandbox: no such process");
	if (geteuid() != 0)
		return err_set(e, -EPERM, "the engine's processes have to be started as root");
	if (profile->keeps) {
		power_mdwe(false, report);
		r = set_limits(profile->limits, false, e);
	} else {
		r = enter(id, profile, args, &paths, report, e);
		paths_free(&paths);
	}
#ifdef POUCH_SANITIZED
	confined = r == 0 && !profile->keeps;
#endif
	for (size_t i = 0; i < report->nmissing; i++)
		log_warn("sandbox: %s", report->missing[i]);
	return r;
}

/* ---- the second stage ---- */

static int narrow_ids(const struct sandbox_narrow *to, struct err *e)
{
	/* setfsuid(2) tells failures only by asking again. */
	if (to->fsgid != (gid_t)-1 && (setfsgid(to->fsgid), setfsgid((gid_t)-1)) != (int)to->fsgid)
		return err_set(e, -EPERM, "sandbox: setfsgid");
	if (to->fsuid != (uid_t)-1 && (setfsuid(to->fsuid), setfsuid((uid_t)-1)) != (int)to->fsuid)
		return err_set(e, -EPERM, "sandbox: setfsuid");
	return 0;
}

int sandbox_narrow(enum process_id id, const struct sandbox_narrow *to, struct sandbox_report *report, struct err *e)
{
	const struct sandbox_profile *profile = sandbox_profile(id);
	const unsigned nodes = profile->second.capabilities & CAP(MKNOD) ? PATH_NODES : 0;
	struct landlock_use uses[ARRAY_LEN(to->dirs)];
	int r;

	if (!profile->second.calls)
		return err_set(e, -EINVAL, "sandbox: %s has no second stage", process_name(id));
	for (size_t i = 0; i < to->ndirs; i++)
		uses[i] = (struct landlock_use){to->dirs[i], PATH_READ | PATH_WRITE | nodes};
	if ((r = narrow_ids(to, e)) < 0 || (r = power_reduce(profile->second.capabilities, report, e)) < 0 ||
	    (r = landlock_enter(uses, to->ndirs, to->ndirs > 0, profile->landlock_tcp, profile->landlock_scope, report,
				e)) < 0)
		return r;
	return calls_enter(profile->second.calls, e);
}
