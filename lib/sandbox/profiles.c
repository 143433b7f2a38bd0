/*
 * What each process of the engine may do. To be read beside docs/threat-model.md, which says what its takeover yields,
 * and tests/privilege/, which reads the result from /proc and tries the rest.
 */
#include "lib/sandbox/profile.h"

#include <sched.h>
#include <stddef.h>

#include "lib/config.h"
#include "lib/sandbox/root.h"
#include "lib/util.h"

#define ALONE	(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
#define ON_HOST (CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) /* the host's network */

/* What writing files of any owner takes. */
#define FILE_POWER (CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(FOWNER) | CAP(FSETID))

#define LIMITS(...) ((const struct sandbox_limit[]){__VA_ARGS__, {-1, 0}})
#define ONLY(...)   ((const enum call_set[]){__VA_ARGS__, CALLS_END})
#define CALLS(...)  ONLY(CALLS_core, __VA_ARGS__)
#define PATHS(...)  ((const struct sandbox_path[]){__VA_ARGS__, {NULL, 0}})

/* Secrets leave no core file; nobody makes processes, whatever a filter may say. */
#define NO_CORE                                                                                                        \
	{                                                                                                              \
		RLIMIT_CORE, 0                                                                                         \
	}
#define NO_PROCESS                                                                                                     \
	{                                                                                                              \
		RLIMIT_NPROC, 0                                                                                        \
	}
#define THREADS                                                                                                        \
	{                                                                                                              \
		RLIMIT_NPROC, 4096                                                                                     \
	} /* counted for a uid over all workers */
#define FILES(n)                                                                                                       \
	{                                                                                                              \
		RLIMIT_NOFILE, (n)                                                                                     \
	}
#ifdef POUCH_SANITIZED
#define MEMORY(mib)                                                                                                    \
	{                                                                                                              \
		RLIMIT_CORE, 0                                                                                         \
	} /* AddressSanitizer maps terabytes */
#else
#define MEMORY(mib)                                                                                                    \
	{                                                                                                              \
		RLIMIT_DATA, (rlim_t)(mib) << 20                                                                       \
	}
#endif

/* What name look-up and TLS read. */
#define NET_FILES                                                                                                      \
	{"/etc/resolv.conf", PATH_READ}, {"/etc/hosts", PATH_READ}, {"/etc/gai.conf", PATH_READ},                      \
		{"/etc/host.conf", PATH_READ}, {"/etc/services", PATH_READ}, {"/etc/ssl", PATH_READ},                  \
		{"/etc/pki", PATH_READ}, {"/usr/share/ca-certificates", PATH_READ},                                    \
	{                                                                                                              \
		"/usr/local/share/ca-certificates", PATH_READ                                                          \
	}

static void registry_files(const struct config *config, struct paths *out)
{
	for (size_t i = 0; i < config->registries.n; i++)
		paths_add(out, config->registries.v[i].ca, PATH_READ);
}

static void collectors(const struct config *config, struct paths *out)
{
	for (size_t i = 0; i < config->log_driver_sockets.n; i++)
		paths_add(out, config->log_driver_sockets.v[i], PATH_CONNECT);
	for (size_t i = 0; i < config->log_driver_files.n; i++)
		paths_add(out, config->log_driver_files.v[i], PATH_READ);
	paths_add(out, config->log_driver_journal, PATH_CONNECT);
}

static void plugin_sockets(const struct config *config, struct paths *out)
{
	paths_add(out, config->volumes_plugin_dir, PATH_READ | PATH_CONNECT | PATH_MAKE);
}

static const struct sandbox_profile profiles[PROC_LIMIT] = {
	[PROC_pouchd] =
		{
			.keeps = "its children take their power from it: what it gave up, none of them could have",
			.limits = LIMITS(NO_CORE),
		},
	/*
	 * A filter, no-new-privileges or a smaller bounding set would be inherited by every container, whose own are
	 * the container's and the policy's to choose. Its safety is its size, and what it accepts.
	 */
	[PROC_runtimed] =
		{
			.keeps = "containers get what it has, by its children: namespaces, mounts, cgroups, "
				 "capabilities",
			.proc = true,
			.limits = LIMITS(NO_CORE),
		},
	/* Held down by its own code (libc only): see runtimed/shim. */
	[PROC_shim] =
		{
			.keeps = "it confines itself once its container runs",
/* Made by runtimed, entered by its own code: see runtimed/shim/drop.c. */
#ifdef POUCH_SANITIZED /* AddressSanitizer and its reports need more of the C library */
			.second.calls = CALLS(CALLS_shim),
#elif defined POUCH_FAULTS
			.second.calls = ONLY(CALLS_shim, CALLS_fault),
#else
			.second.calls = ONLY(CALLS_shim),
#endif
			.limits = LIMITS(NO_CORE),
		},
	[PROC_apid] =
		{
			.namespaces = ALONE,
			.peers = P(pouchd) | P(runtimed) | P(imaged) | P(volumed) | P(netd) | P(auditd),
			.landlock_files = true,
			.landlock_tcp = true,
			.landlock_scope = true,
			.first.calls = CALLS(CALLS_no_files, CALLS_no_threads, CALLS_serve, CALLS_call_peers),
			.limits = LIMITS(NO_CORE, NO_PROCESS, FILES(1048576)),
		},
	[PROC_imaged] =
		{
			.namespaces = ALONE,
			.state = true,
			.proc = true,
			.peers = P(runtimed) | P(auditd) | P(image_fetch) | P(image_unpack),
			.landlock_files = true,
			.landlock_tcp = true,
			.landlock_scope = true,
			/* The thread hashes and removes (lib/jobs.h). */
			.first.calls = CALLS(CALLS_read_files, CALLS_write_files, CALLS_spread, CALLS_threads,
					     CALLS_serve, CALLS_call_peers),
			.limits = LIMITS(NO_CORE, THREADS, FILES(65536)),
		},
	[PROC_volumed] =
		{
			.namespaces = ALONE,
			.state = true,
			/* Its copies of volumes' mounts would outlive the host's, and keep their directories. */
			.state_use = PATH_ALONE,
			.proc = true,
			.peers = P(runtimed) | P(auditd) | P(volume_mount) | P(rootfs),
			.configured = plugin_sockets,
			.landlock_files = true,
			.landlock_tcp = true,
			.landlock_scope = true,
			.first.capabilities = FILE_POWER,
			/* The thread measures and removes trees (lib/jobs.h). */
			.first.calls = CALLS(CALLS_read_files, CALLS_write_files, CALLS_own_files, CALLS_spread,
					     CALLS_threads, CALLS_serve, CALLS_call_peers, CALLS_unix_streams),
			.limits = LIMITS(NO_CORE, THREADS, FILES(65536)),
		},
	[PROC_netd] =
		{
			.namespaces = ON_HOST,
			.state = true,
			.proc = true,
			.peers = P(runtimed) | P(auditd) | P(dns),
			/*
			 * resolv.conf and hosts of the host as they change, hence their directories; what nftables'
			 * library reads when a context is made; sysctls of namespaces.
			 */
			.paths = PATHS({"/etc", PATH_READ}, {"/run/systemd/resolve", PATH_READ},
				       {"/run/resolvconf", PATH_READ}, {"/run/NetworkManager", PATH_READ},
				       {"/usr/share/iproute2", PATH_READ}, {"/proc/sys/net", PATH_READ | PATH_WRITE}),
			.landlock_files = true,
			.landlock_scope = true,
			/* SYS_ADMIN is for setns(2), with seccomp keeping all its other uses away. */
			.first.capabilities = CAP(NET_ADMIN) | CAP(NET_BIND_SERVICE) | CAP(NET_RAW) | CAP(SYS_ADMIN),
			/* The thread removes devices (netd/devices.h). */
			.first.calls = CALLS(CALLS_read_files, CALLS_watch_files, CALLS_write_files,
					     CALLS_netlink, CALLS_threads, CALLS_serve, CALLS_call_peers),
			.limits = LIMITS(NO_CORE, THREADS, FILES(65536)),
		},
	[PROC_auditd] =
		{
			.namespaces = ALONE,
			.state = true,
			.landlock_files = true,
			.landlock_tcp = true,
			.landlock_scope = true,
			.first.calls = CALLS(CALLS_read_files, CALLS_write_files, CALLS_no_threads, CALLS_serve),
			.limits = LIMITS(NO_CORE, NO_PROCESS, FILES(4096), MEMORY(64)),
		},
	[PROC_image_fetch] =
		{
			.namespaces = ON_HOST,
			.paths = PATHS(NET_FILES),
			.configured = registry_files,
			.landlock_files = true,
			.landlock_scope = true,
			/* libcurl looks names up in a thread. */
			.first.calls = CALLS(CALLS_read_files, CALLS_inet, CALLS_threads),
			.limits = LIMITS(NO_CORE, THREADS, FILES(1024), MEMORY(256)),
		},
	[PROC_image_unpack] =
		{
			.namespaces = ALONE,
			.landlock_tcp = true,
			.landlock_scope = true,
			.first.capabilities = FILE_POWER | CAP(SETFCAP) | CAP(MKNOD),
			.first.calls = CALLS(CALLS_read_files, CALLS_write_files, CALLS_own_files,
					     CALLS_threads, CALLS_narrow),
			.second.capabilities = FILE_POWER | CAP(SETFCAP) | CAP(MKNOD),
			.second.calls = CALLS(CALLS_read_files, CALLS_write_files, CALLS_own_files, CALLS_threads),
			.limits = LIMITS(NO_CORE, THREADS, FILES(1024), MEMORY(256)),
		},
	[PROC_rootfs] =
		{
			.ids = IDS_ROOT,
			.namespaces = ALONE,
			/*
			 * What it works on comes with the request: directories of another mount namespace. It chroots
			 * there, takes the container's ids on disk, and enters the second stage.
			 */
			.landlock_tcp = true,
			.landlock_scope = true,
			.first.capabilities = FILE_POWER | CAP(SETFCAP) | CAP(DAC_READ_SEARCH) | CAP(SETUID) |
					      CAP(SETGID) | CAP(SYS_CHROOT),
			.first.calls = CALLS(CALLS_read_files, CALLS_write_files, CALLS_own_files, CALLS_no_threads,
					     CALLS_chroot, CALLS_take_ids, CALLS_narrow),
			.second.capabilities = FILE_POWER | CAP(SETFCAP) | CAP(DAC_READ_SEARCH),
			.second.calls = CALLS(CALLS_read_files, CALLS_write_files, CALLS_own_files, CALLS_no_threads),
			.limits = LIMITS(NO_CORE, NO_PROCESS, FILES(1024), MEMORY(256)),
		},
	[PROC_volume_mount] =
		{
			.ids = IDS_ROOT,
			/* The host's mounts: what it mounts is for runtimed and volumed to see. */
			.namespaces = CLONE_NEWIPC | CLONE_NEWUTS,
			/* An overlay works with the capabilities of who mounted it. */
			.first.capabilities = CAP(SYS_ADMIN) | FILE_POWER | CAP(SETFCAP) | CAP(MKNOD),
			.first.calls = CALLS(CALLS_mounts, CALLS_no_files, CALLS_no_threads),
			.limits = LIMITS(NO_CORE, NO_PROCESS, FILES(1024), MEMORY(64)),
		},
	[PROC_dns] =
		{
			.namespaces = ON_HOST,
			.landlock_files = true,
			.landlock_scope = true,
			/* Sockets in containers' namespaces come from netd; those to name servers it makes itself. */
			.first.calls = CALLS(CALLS_no_files, CALLS_no_threads, CALLS_serve, CALLS_inet),
			.limits = LIMITS(NO_CORE, NO_PROCESS, FILES(65536), MEMORY(64)),
		},
	[PROC_log] =
		{
			.namespaces = ON_HOST,
			.paths = PATHS(NET_FILES, {"/etc/localtime", PATH_READ}),
			.configured = collectors,
			.landlock_files = true,
			.landlock_scope = true,
			.first.calls = CALLS(CALLS_read_files, CALLS_inet, CALLS_unix_streams, CALLS_threads),
			.limits = LIMITS(NO_CORE, THREADS, FILES(1024), MEMORY(256)),
		},
};

const struct sandbox_profile *sandbox_profile(enum process_id id)
{
	return &profiles[id];
}
