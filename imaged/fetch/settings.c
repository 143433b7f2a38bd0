#include "imaged/fetch/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <strings.h>

#include "lib/fd.h"

#define PEM_MAX (1u << 20)

/* The files of one registry. */
struct files {
	const struct config_registry *config;
	char *ca, *cert, *key, *problem;
};

struct settings {
	const struct config *config;
	char *no_proxy; /* as libcurl wants it: with commas */
	struct files *v;
	size_t n;
};

static void read_pem(struct files *f, const char *path, char **out)
{
	struct err e = {0};
	size_t len;

	if (!*path)
		return;
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc = fd < 0 ? err_sys(&e, -errno, "%s", path) : fd_read_file(fd, PEM_MAX, out, &len, &e);
	if (rc < 0 && !f->problem)
		f->problem = xstrdup(e.text);
}

static char *join(const struct config_texts *texts)
{
	char *all = xstrdup("");

	for (size_t i = 0; i < texts->n; i++) {
		char *more = xasprintf("%s%s%s", all, i ? "," : "", texts->v[i]);
		free(all);
		all = more;
	}
	return all;
}

struct settings *settings_new(const struct config *config)
{
	struct settings *s = XNEW(struct settings);

	s->config = config;
	s->no_proxy = join(&config->images_no_proxy);
	s->n = config->registries.n;
	s->v = xcalloc(s->n + 1, sizeof *s->v);
	for (size_t i = 0; i < s->n; i++) {
		struct files *f = &s->v[i];
		f->config = &config->registries.v[i];
		read_pem(f, f->config->ca, &f->ca);
		read_pem(f, f->config->client_cert, &f->cert);
		read_pem(f, f->config->client_key, &f->key);
	}
	return s;
}

static void forget_key(struct files *f)
{
	if (f->key)
		explicit_bzero(f->key, strlen(f->key));
	free(STEAL(f->key));
}

void settings_free(struct settings *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++) {
		forget_key(&s->v[i]);
		free(s->v[i].ca);
		free(s->v[i].cert);
		free(s->v[i].problem);
	}
	free(s->v);
	free(s->no_proxy);
	free(s);
}

static bool is_mirror(const struct config_registry *r, const char *host)
{
	for (size_t i = 0; r && i < r->mirrors.n; i++) {
		AUTO_URL struct url url = {0};
		if (url_parse(r->mirrors.v[i], NULL, &url, NULL) == 0 && strcasecmp(url.site, host) == 0)
			return true;
	}
	return false;
}

void settings_keep(struct settings *s, const char *registry)
{
	const struct config_registry *own = config_registry(s->config, registry);

	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].config != own && !is_mirror(own, s->v[i].config->key))
			forget_key(&s->v[i]);
}

/* docker.io is reached under another name than it is known by. */
static bool names_host(const char *key, const struct url *url)
{
	if (str_eq(key, "docker.io") && strcasecmp(url->host, "registry-1.docker.io") == 0)
		return true;
	return strcasecmp(key, url->site) == 0;
}

struct host_settings settings_of(const struct settings *s, const struct url *url)
{
	struct host_settings out = {.proxy = s->config->images_proxy, .no_proxy = s->no_proxy};

	for (size_t i = 0; i < s->n; i++) {
		const struct files *f = &s->v[i];
		if (!names_host(f->config->key, url))
			continue;
		out.config = f->config;
		out.insecure = f->config->insecure;
		out.ca = f->ca;
		out.cert = f->cert;
		out.key = f->key;
		out.problem = f->problem;
		if (*f->config->proxy) {
			out.proxy = f->config->proxy;
			out.no_proxy = "";
		}
		return out;
	}
	out.insecure = host_is_loopback(url->host);
	return out;
}
