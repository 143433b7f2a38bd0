#include "runtimed/bind.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>

#include "lib/fd.h"
#include "lib/guard.h"
#include "runtimed/container.h"
#include "lib/util.h"

static const struct {
	const char *name;
	enum launch_propagation value;
} propagations[] = {
	{"rprivate", LAUNCH_RPRIVATE}, {"private", LAUNCH_PRIVATE}, {"rslave", LAUNCH_RSLAVE},
	{"slave", LAUNCH_SLAVE},       {"rshared", LAUNCH_RSHARED}, {"shared", LAUNCH_SHARED},
};

enum launch_propagation bind_propagation(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_LEN(propagations); i++)
		if (strcmp(propagations[i].name, name) == 0)
			return propagations[i].value;
	return LAUNCH_RPRIVATE;
}

static bool is_propagation(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(propagations); i++)
		if (strcmp(propagations[i].name, name) == 0)
			return true;
	return false;
}

struct options {
	bool read_only, nocopy, not_recursive;
	const char *propagation;
};

static int read_options(char *text, struct options *o, struct err *e)
{
	/* SELinux labels and consistency: nothing to do here, and no error with Docker either. */
	static const char *const taken[] = {"rw", "z", "Z", "cached", "delegated", "consistent", "rbind", "copy"};
	char *save = NULL;

	for (char *word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		bool known = false;
		for (size_t i = 0; i < ARRAY_LEN(taken); i++)
			known = known || strcmp(taken[i], word) == 0;
		if (strcmp(word, "ro") == 0 || strcmp(word, "readonly") == 0)
			o->read_only = true;
		else if (strcmp(word, "nocopy") == 0)
			o->nocopy = true;
		else if (strcmp(word, "bind") == 0)
			o->not_recursive = true;
		else if (is_propagation(word))
			o->propagation = word;
		else if (!known)
			return err_http(e, 400, "invalid mode: %s", word);
	}
	return 0;
}

static void tidy(char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		path[--len] = '\0';
}

int bind_parse(const char *text, json_t **out, struct err *e)
{
	AUTO_FREE char *copy = xstrdup(text), *mode = NULL, *words = NULL;
	struct options o = {0};
	char *target = strchr(copy, ':'), *rest = target ? strchr(target + 1, ':') : NULL;

	if (!target || target == copy || (rest && strchr(rest + 1, ':')))
		return err_http(e, 400, "invalid volume specification: '%s'", text);
	*target++ = '\0';
	if (rest)
		*rest++ = '\0';
	mode = xstrdup(rest ? rest : "");
	words = xstrdup(mode);
	int rc = read_options(words, &o, e);
	if (rc < 0)
		return err_prefix(e, "Binds: '%s'", text);
	tidy(copy);
	AUTO_FREE char *destination = *target == '/' ? launch_clean_target(target) : xstrdup(target);
	bool volume = *copy != '/';
	if (volume && o.propagation)
		return err_http(e, 400, "invalid volume specification: '%s': a volume has no propagation", text);
	*out = json_pack("{s:s s:s s:s s:s s:b s:s s:{s:b s:b s:b}}", "Type", volume ? "volume" : "bind", "Source",
			 volume ? "" : copy, "Destination", destination, "Mode", mode, "RW", !o.read_only,
			 "Propagation",
			 volume		 ? ""
			 : o.propagation ? o.propagation
					 : "rprivate",
			 "_", "recursive", !o.not_recursive, "nocopy", o.nocopy, "create", true);
	if (volume) {
		json_object_set_new(*out, "Name", json_string(copy));
		json_object_set_new(*out, "Driver", json_string(""));
		if (!*mode)
			json_object_set_new(*out, "Mode", json_string("z"));
	}
	return 0;
}

/* ReadOnly reaches the mounts below, as the kernel can say so in one call; "force" asks for no more. */
static int check_read_only(const json_t *mount, const json_t *options, struct err *e)
{
	static const char *const names[] = {"ReadOnlyNonRecursive", "ReadOnlyForceRecursive"};
	const char *propagation = json_text(options, "Propagation");
	bool force = json_true_at(options, names[1]);

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (json_true_at(options, names[i]) && !json_true_at(mount, "ReadOnly"))
			return err_http(e, 400, "BindOptions.%s needs ReadOnly", names[i]);
	if (force && json_true_at(options, names[0]))
		return err_http(e, 400, "BindOptions: %s and %s exclude each other", names[0], names[1]);
	if (force && json_true_at(options, "NonRecursive"))
		return err_http(e, 400, "BindOptions: %s and NonRecursive exclude each other", names[1]);
	if (force && propagation && strcmp(propagation, "private") != 0 && strcmp(propagation, "rprivate") != 0)
		return err_http(e, 400, "BindOptions: %s needs the propagation rprivate", names[1]);
	return 0;
}

int bind_from_mount(const json_t *mount, json_t **out, struct err *e)
{
	const json_t *options = json_object_get(mount, "BindOptions");
	const char *source = json_text(mount, "Source"), *propagation = json_text(options, "Propagation");

	if (!source || *source != '/')
		return err_http(e, 400,
				"invalid mount config for type \"bind\": invalid mount path: '%s' mount path must be "
				"absolute",
				source ? source : "");
	int rc = check_read_only(mount, options, e);
	if (rc < 0)
		return rc;
	*out = json_pack("{s:s s:s s:s s:s s:b s:s s:{s:b s:b s:b s:b}}", "Type", "bind", "Source", source,
			 "Destination", json_text(mount, "Target"), "Mode", "", "RW", !json_true_at(mount, "ReadOnly"),
			 "Propagation", propagation ? propagation : "rprivate", "_", "recursive",
			 !json_true_at(options, "NonRecursive"), "create", json_true_at(options, "CreateMountpoint"),
			 "nocopy", true, "top_only", json_true_at(options, "ReadOnlyNonRecursive"));
	return 0;
}

/* What a missing path will be called: its nearest directory that is there, resolved, and the rest as written. */
static int resolve_missing(const char *path, char *real, size_t size, struct err *e)
{
	AUTO_FREE char *parent = xstrdup(path);
	char *slash;

	while ((slash = strrchr(parent, '/')) && slash != parent) {
		*slash = '\0';
		int fd = launch_open_source(parent, false, real, size, e);
		if (fd == -ENOENT)
			continue;
		if (fd < 0)
			return fd;
		close(fd);
		break;
	}
	if (slash == parent || !slash)
		snprintf(real, size, "/");
	size_t len = strlen(real), from = slash && slash != parent ? strlen(parent) : 0;
	if (str_eq(real, "/"))
		len = 0;
	if (strstr(path + from, "/.."))
		return err_http(e, 400, "bind source path does not exist: %s", path);
	if ((size_t)snprintf(real + len, size - len, "%s", path + from) >= size - len)
		return err_set(e, -ENAMETOOLONG, "bind source: %s", path);
	return 0;
}

/* A mount that is read-only at its top alone leaves those below it writable; and what is missing is made on the host.
 */
static bool writes(const json_t *point, bool missing)
{
	const json_t *extra = json_object_get(point, "_");
	bool below = json_true_at(extra, "top_only") && json_true_at(extra, "recursive");

	return json_true_at(point, "RW") || below || missing;
}

int bind_admit(struct ipc_request *req, json_t *point, struct err *e)
{
	json_t *extra = json_object_get(point, "_");
	const char *source = json_text(point, "Source");
	bool create = json_true_at(extra, "create");
	char real[PATH_MAX], made[PATH_MAX];
	AUTO_CLOSE int fd = launch_open_source(source, false, real, sizeof real, e);

	if (fd == -ENOENT && !create)
		return err_http(e, 400, "invalid mount config for type \"bind\": bind source path does not exist: %s",
				source);
	if (fd < 0 && fd != -ENOENT)
		return fd;
	int rc = fd < 0 ? resolve_missing(source, real, sizeof real, e) : 0;
	if (rc == 0)
		rc = guard_admit_bind(req, real, writes(point, fd < 0), e);
	if (rc < 0)
		return rc;
	if (fd < 0) {
		fd = launch_open_source(source, true, made, sizeof made, e);
		if (fd < 0)
			return fd;
		if (!str_eq(made, real))
			return err_http(e, 409, "bind source %s has changed while it was looked at", source);
	}
	json_object_set_new(extra, "real", json_string(real));
	json_object_set_new(
		extra, "anywhere",
		json_boolean(policy_admit_bind(guard_grant(req), "container.create", "/", true, NULL) == 0));
	return 0;
}

int bind_open(const json_t *point, struct err *e)
{
	const json_t *extra = json_object_get(point, "_");
	const char *source = json_text(point, "Source");
	bool anywhere = json_true_at(extra, "anywhere");
	char real[PATH_MAX];
	AUTO_CLOSE int fd = launch_open_source(source, anywhere && json_true_at(extra, "create"), real, sizeof real, e);

	if (fd == -ENOENT)
		return err_http(e, 400, "bind source path does not exist: %s", source);
	if (fd < 0)
		return fd;
	if (!anywhere && !str_eq(real, json_text(extra, "real")))
		return err_http(
			e, 403,
			"bind source %s leads to %s now; the policy was asked for %s when the container was created",
			source, real, json_text(extra, "real"));
	return STEAL_FD(fd);
}

int volume_open(const json_t *point, struct err *e)
{
	const char *source = json_text(point, "Source"), *subpath = json_text(json_object_get(point, "_"), "subpath");
	char real[PATH_MAX];

	if (!source || !*source)
		return err_http(e, 500, "volume %s is not mounted", json_text(point, "Name"));
	AUTO_CLOSE int fd = launch_open_source(source, false, real, sizeof real, e);
	if (fd < 0 || !subpath)
		return fd < 0 ? fd : STEAL_FD(fd);
	/* Inside the volume, whatever its files' links say. */
	int sub = fd_open_within(fd, subpath, O_PATH, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
	if (sub < 0)
		return err_sys(e, sub, "volume %s: Subpath %s", json_text(point, "Name"), subpath);
	return sub;
}
