#include "netd/endpoint_options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/endpoint_keys.h"
#include "lib/util.h"
#include "netd/options.h"

/* What a sysctl of a device begins with, before the device. */
static const char *const kinds[] = {"net.ipv4.conf.", "net.ipv4.neigh.", "net.ipv6.conf.", "net.ipv6.neigh.",
				    "net.mpls.conf."};
#define PLACEHOLDER "IFNAME." /* in any case: the docker CLI makes small letters of its options */

static const char *option(const json_t *settings, const char *name)
{
	const char *text = json_string_value(json_object_get(json_object_get(settings, "DriverOpts"), name));

	return text ? text : "";
}

/* ---- sysctls: "net.ipv4.conf.IFNAME.KEY=VALUE,…" ---- */

struct sysctl {
	const char *kind; /* one of `kinds` */
	char key[64], value[128];
};

static bool is_key(const char *key)
{
	return *key && key[strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

/* The first of the list, which `*list` is moved behind. */
static int next_sysctl(const char **list, struct sysctl *out, struct err *e)
{
	const size_t len = strcspn(*list, ",");
	AUTO_FREE char *item = xstrndup(*list, len);
	char *equals = strchr(item, '=');

	*list += len + ((*list)[len] == ',');
	if (!equals)
		return err_http(e, 400, "option " ENDPOINT_SYSCTLS ": \"%s\": want SYSCTL=VALUE", item);
	*equals = '\0';
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const char *rest = item + strlen(kinds[i]);

		if (!str_starts(item, kinds[i]) || strncasecmp(rest, PLACEHOLDER, strlen(PLACEHOLDER)) != 0 ||
		    !is_key(rest + strlen(PLACEHOLDER)) || strlen(rest) >= sizeof out->key ||
		    strlen(equals + 1) >= sizeof out->value)
			continue;
		out->kind = kinds[i];
		snprintf(out->key, sizeof out->key, "%s", rest + strlen(PLACEHOLDER));
		snprintf(out->value, sizeof out->value, "%s", equals + 1);
		return 0;
	}
	return err_http(e, 400,
			"option " ENDPOINT_SYSCTLS ": unrecognised network interface sysctl \"%s\"; represent "
			"net.ipv4.conf.eth0.KEY=VALUE as net.ipv4.conf.IFNAME.KEY=VALUE",
			item);
}

/* ---- link-local addresses ---- */

static bool is_link_local(const struct address *a, unsigned *prefix)
{
	*prefix = a->family == AF_INET ? 16 : 64;
	return a->family == AF_INET ? a->bytes[0] == 169 && a->bytes[1] == 254
				    : a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

static const json_t *link_local(const json_t *settings)
{
	return json_object_get(json_object_get(settings, "IPAMConfig"), "LinkLocalIPs");
}

static int check_link_local(const struct network *n, const json_t *settings, struct err *e)
{
	const json_t *list = link_local(settings), *item;
	struct address a;
	unsigned prefix;
	size_t i;

	if (json_array_size(list) > LINK_LOCAL_MAX)
		return err_http(e, 400, "IPAMConfig.LinkLocalIPs: more than %d", LINK_LOCAL_MAX);
	json_array_foreach(list, i, item) {
		const char *text = json_string_value(item);

		if (!address_parse(text, &a) || !is_link_local(&a, &prefix))
			return err_http(e, 400, "IPAMConfig.LinkLocalIPs: %s is no link-local address", text);
		if (a.family == AF_INET ? !n->ipv4 : !n->ipv6)
			return err_http(e, 400, "IPAMConfig.LinkLocalIPs: %s: network %s has no IPv%c", text, n->name,
					a.family == AF_INET ? '4' : '6');
	}
	return 0;
}

unsigned endpoint_options_link_local(const json_t *settings, struct subnet out[LINK_LOCAL_MAX])
{
	const json_t *item;
	unsigned n = 0;
	size_t i;

	json_array_foreach(link_local(settings), i, item)
		if (n < LINK_LOCAL_MAX && address_parse(json_string_value(item), &out[n].address) &&
		    is_link_local(&out[n].address, &out[n].prefix))
			n++;
	return n;
}

/* ---- all ---- */

int endpoint_options_check(const struct network *n, const json_t *settings, struct err *e)
{
	const char *name, *list = option(settings, ENDPOINT_SYSCTLS), *device = option(settings, ENDPOINT_DEVICE);
	struct sysctl sysctl;
	json_t *value;
	int rc = 0;

	json_object_foreach(json_object_get(settings, "DriverOpts"), name, value)
		if (!str_eq(name, ENDPOINT_SYSCTLS) && !str_eq(name, ENDPOINT_DEVICE))
			return err_http(e, 400, "DriverOpts: network %s has no option \"%s\" for its endpoints",
					n->name, name);
	if (*device && (!options_device_name(device) || str_eq(device, "lo")))
		return err_http(e, 400, "option " ENDPOINT_DEVICE ": %s is no name for a container's network device",
				device);
	while (rc == 0 && *list)
		rc = next_sysctl(&list, &sysctl, e);
	return rc < 0 ? rc : check_link_local(n, settings, e);
}

struct setting {
	const char *device;
	const struct sysctl *sysctl;
};

static int set(void *arg, struct err *e)
{
	const struct setting *s = arg;
	char directory[32] = "";
	size_t n = 0;

	for (const char *c = s->sysctl->kind; *c && n + 1 < sizeof directory; c++)
		directory[n++] = *c == '.' ? '/' : *c;
	AUTO_FREE char *path = xasprintf("/proc/sys/%s%s/%s", directory, s->device, s->sysctl->key);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
	const ssize_t len = (ssize_t)strlen(s->sysctl->value);
	if (fd < 0 || write(fd, s->sysctl->value, (size_t)len) != len)
		return err_http(e, 400, "option " ENDPOINT_SYSCTLS ": set %s%s.%s=%s: %s", s->sysctl->kind, s->device,
				s->sysctl->key, s->sysctl->value, strerror(errno));
	return 0;
}

int endpoint_options_sysctls(struct links *l, const struct endpoint *ep, int netns, struct err *e)
{
	const char *list = option(ep->settings, ENDPOINT_SYSCTLS);
	struct sysctl sysctl;
	int rc = 0;

	while (rc == 0 && *list) {
		const struct setting s = {ep->device, &sysctl};

		rc = next_sysctl(&list, &sysctl, e);
		if (rc == 0)
			rc = link_inside(l, netns, set, (void *)(uintptr_t)&s, e);
	}
	return rc;
}

/* ---- the name ---- */

int endpoint_options_name(const struct endpoint *ep, struct link_space *space, char name[LINK_NAME_MAX + 1],
			  struct err *e)
{
	const char *asked = option(ep->settings, ENDPOINT_DEVICE);

	if (!*asked) {
		link_space_free_name(space, ep->network->prefix, name);
		return 0;
	}
	if (link_space_has(space, asked))
		return err_http(e, 400, "option " ENDPOINT_DEVICE ": the container has a device %s", asked);
	snprintf(name, LINK_NAME_MAX + 1, "%s", asked);
	return 0;
}
