/*
 * enter: an exec that the shim does itself, which spares the time in which a runtime is loaded: what it needs. Where
 * something is asked for that only the runtime knows, it is left to the runtime.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

/*
 * The filter that the container has got, as crun keeps it for its own execs. *out is -1 when it has none. False when it
 * should have one and that cannot be had.
 */
static bool container_filter(const struct launch_run *run, const json_t *host, const struct security *sec, int *out)
{
	AUTO_FREE char *path = xasprintf("rt/%s/seccomp.bpf", run->id);
	AUTO_CLOSE int fd = openat(run->launch->run_dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	const char *filter = NULL;
	uint64_t caps;

	*out = -1;
	if (fd >= 0 && lseek(fd, 0, SEEK_END) > 0) {
		*out = STEAL_FD(fd);
		return true;
	}
	if (sec->unconfined_seccomp)
		return true;
	return cap_of_host(run->launch, host, run->ids.size, &caps, NULL) == 0 &&
	       seccomp_filter(run->launch, sec->seccomp, caps, &filter, NULL) == 0 && !filter;
}

int enter_settings(const struct launch_run *run, const json_t *exec, const json_t *host, struct shim_settings *s,
		   int *program, struct err *e)
{
	const struct launch_runtime *rt = runtime_of(run->launch, host, e);
	struct security sec;
	int calls;

	*program = -1;
	if (!rt || security_parse(run->launch, host, &sec, e) < 0)
		return e->code;
	/* Another runtime's container may be a virtual machine. AppArmor's profile is set by a file of /proc. */
	if (!rt->bpf_annotation || (*sec.apparmor && !doc_true(exec, "Privileged")))
		return 0;
	int copy = shim_copy(run->launch);
	if (copy < 0 || !container_filter(run, host, &sec, &calls))
		return 0;
	if (calls >= 0)
		settings_take_fd(s, "calls", calls);
	/* Its own number is one of those that are not copied (KEPT_FDS). */
	int init = fcntl(run->pidfd, F_DUPFD_CLOEXEC, 3);
	if (init < 0)
		return err_sys(e, -errno, "copy the descriptor of the container's process");
	settings_take_fd(s, "init", init);
	*program = copy;
	return cgroup_doors(run->cgroup, run->pid, s, e);
}

static uint64_t mask_of(const json_t *names)
{
	uint64_t mask = 0;
	json_t *item;
	size_t i;

	json_array_foreach(names, i, item)
		mask |= 1ull << cap_number(json_string_value(item));
	return mask;
}

static void add_number(struct shim_settings *s, const char *key, const json_t *v)
{
	settings_number(s, key, (uint64_t)json_integer_value(v));
}

static void add_words(struct shim_settings *s, const char *key, const json_t *list)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		settings_text(s, key, json_string_value(item));
}

static void add_limits(struct shim_settings *s, const json_t *list)
{
	char text[80];
	json_t *item;
	size_t i;

	/* OCI's -1 is RLIM_INFINITY. */
	json_array_foreach(list, i, item) {
		snprintf(text, sizeof text, "%d %llu %llu", rlimit_number(doc_text(item, "type") + strlen("RLIMIT_")),
			 (unsigned long long)doc_int(item, "soft", 0), (unsigned long long)doc_int(item, "hard", 0));
		settings_text(s, "limit", text);
	}
}

int enter_document(const json_t *process, struct err *e)
{
	const json_t *user = json_object_get(process, "user"), *caps = json_object_get(process, "capabilities");
	struct shim_settings s = {0};
	char score[32];
	json_t *item;
	size_t i;

	add_number(&s, "uid", json_object_get(user, "uid"));
	add_number(&s, "gid", json_object_get(user, "gid"));
	json_array_foreach(json_object_get(user, "additionalGids"), i, item)
		add_number(&s, "group", item);
	settings_number(&s, "capabilities", mask_of(json_object_get(caps, "effective")));
	settings_number(&s, "bounding", mask_of(json_object_get(caps, "bounding")));
	settings_number(&s, "no-new-privileges", doc_true(process, "noNewPrivileges"));
	snprintf(score, sizeof score, "%lld", (long long)doc_int(process, "oomScoreAdj", 0));
	settings_text(&s, "oom-score", score);
	add_limits(&s, json_object_get(process, "rlimits"));
	settings_text(&s, "cwd", doc_text(process, "cwd"));
	add_words(&s, "arg", json_object_get(process, "args"));
	add_words(&s, "env", json_object_get(process, "env"));
	int fd = fd_memfd("process", s.text, s.len, e);
	settings_free(&s);
	return fd;
}
