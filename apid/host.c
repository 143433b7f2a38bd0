#include "apid/host.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#include "lib/fd.h"
#include "lib/sha256.h"
#include "lib/util.h"

#define SMALL_FILE 65536

/* The file's text without its last newline; "" when it cannot be read. The caller's to free. */
static char *read_text(const char *path)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = xcalloc(1, SMALL_FILE);

	/* Files of /proc have no size: read until the end. */
	size_t len = 0;
	while (fd >= 0 && len < SMALL_FILE - 1) {
		ssize_t n = read(fd, text + len, SMALL_FILE - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (len && text[len - 1] == '\n')
		text[len - 1] = '\0';
	return text;
}

const char *host_architecture(const char *machine)
{
	static const struct {
		const char *kernel, *go;
	} names[] = {{"x86_64", "amd64"}, {"aarch64", "arm64"}, {"armv7l", "arm"}, {"i686", "386"}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(machine, names[i].kernel))
			return names[i].go;
	return machine;
}

/* os-release(5): the value of `key`, unquoted. */
static char *os_release(const char *text, const char *key)
{
	size_t n = strlen(key);

	for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		if (strncmp(line, key, n) || line[n] != '=')
			continue;
		const char *v = line + n + 1;
		size_t len = strcspn(v, "\n");
		if (len >= 2 && *v == '"')
			return xstrndup(v + 1, len - 2);
		return xstrndup(v, len);
	}
	return xstrdup("");
}

static const char *filesystem(const char *path)
{
	static const struct {
		long magic;
		const char *name;
	} names[] = {{EXT4_SUPER_MAGIC, "extfs"},
		     {XFS_SUPER_MAGIC, "xfs"},
		     {BTRFS_SUPER_MAGIC, "btrfs"},
		     {TMPFS_MAGIC, "tmpfs"},
		     {OVERLAYFS_SUPER_MAGIC, "overlayfs"}};
	struct statfs fs;

	if (statfs(path, &fs) < 0)
		return "unknown";
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (fs.f_type == names[i].magic)
			return names[i].name;
	return "unknown";
}

/* A name for this engine that stays: the machine's id and the root, hashed. */
static json_t *identity(const char *root)
{
	AUTO_FREE char *machine = read_text("/etc/machine-id");
	struct sha256 s;
	char hex[SHA256_HEX];

	sha256_init(&s);
	sha256_add(&s, machine, strlen(machine));
	sha256_add(&s, root, strlen(root));
	sha256_hex(&s, hex);
	return json_sprintf("%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

static bool has_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = strstr(text, word); p; p = strstr(p + 1, word))
		if ((p == text || p[-1] == ' ' || p[-1] == '\n') &&
		    (p[n] == ' ' || p[n] == '\t' || p[n] == '\n' || !p[n]))
			return true;
	return false;
}

static void add_cgroups(json_t *o)
{
	struct statfs fs;
	bool unified = statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
	/* v1 names controllers one a line, v2 in one line. */
	AUTO_FREE char *text = read_text(unified ? "/sys/fs/cgroup/cgroup.controllers" : "/proc/cgroups");
	bool memory = has_word(text, "memory"), cpu = has_word(text, "cpu");

	json_object_set_new(o, "CgroupDriver", json_string("cgroupfs"));
	json_object_set_new(o, "CgroupVersion", json_string(unified ? "2" : "1"));
	json_object_set_new(o, "MemoryLimit", json_boolean(memory));
	json_object_set_new(o, "SwapLimit",
			    json_boolean(memory && (unified || access("/sys/fs/cgroup/memory/"
								      "memory.memsw.limit_in_bytes",
								      F_OK) == 0)));
	json_object_set_new(o, "CpuCfsPeriod", json_boolean(cpu));
	json_object_set_new(o, "CpuCfsQuota", json_boolean(cpu));
	json_object_set_new(o, "CPUShares", json_boolean(cpu));
	json_object_set_new(o, "CPUSet", json_boolean(has_word(text, "cpuset")));
	json_object_set_new(o, "PidsLimit", json_boolean(has_word(text, "pids")));
	json_object_set_new(o, "OomKillDisable", json_boolean(memory && !unified));
}

static void add_system(json_t *o)
{
	AUTO_FREE char *release = read_text("/etc/os-release");
	AUTO_FREE char *pretty = os_release(release, "PRETTY_NAME");
	AUTO_FREE char *version = os_release(release, "VERSION_ID");
	struct utsname u;
	struct sysinfo memory;

	uname(&u);
	sysinfo(&memory);
	json_object_set_new(o, "Name", json_string(u.nodename));
	json_object_set_new(o, "KernelVersion", json_string(u.release));
	json_object_set_new(o, "OperatingSystem", json_string(pretty));
	json_object_set_new(o, "OSVersion", json_string(version));
	json_object_set_new(o, "OSType", json_string("linux"));
	json_object_set_new(o, "Architecture", json_string(u.machine));
	json_object_set_new(o, "NCPU", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	json_object_set_new(o, "MemTotal", json_integer((json_int_t)(memory.totalram * memory.mem_unit)));
}

struct json_t *host_facts(const char *root)
{
	json_t *o = json_object();

	json_object_set_new(o, "ID", identity(root));
	json_object_set_new(o, "DockerRootDir", json_string(root));
	json_object_set_new(o, "Driver", json_string("overlay2"));
	json_object_set_new(o, "DriverStatus",
			    json_pack("[[s,s],[s,s],[s,s]]", "Backing Filesystem", filesystem(root), "userxattr",
				      "true", "Native Overlay Diff", "true"));
	add_system(o);
	add_cgroups(o);
	return o;
}
