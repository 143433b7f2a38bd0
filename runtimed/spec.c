#include "runtimed/spec.h"

#include <errno.h>
#include <limits.h>

#include "runtimed/idrange.h"
#include "runtimed/logsetup.h"
#include "runtimed/mounts.h"
#include "runtimed/names.h"
#include "runtimed/runtimed.h"

enum { FD_NET_, FD_IPC_, FD_PID_, FD_UTS_, FD_USER_, FD_SHM_ };

void spec_basic(struct container *c, struct spec *out)
{
	size_t n = json_array_size(c->layers), i;
	json_t *layer;

	*out = (struct spec){.layers = xcalloc(n + 1, sizeof *out->layers), .fds = {-1, -1, -1, -1, -1, -1}};
	logsetup_make(c, &out->log);
	json_array_foreach(c->layers, i, layer)
		out->layers[i] = json_string_value(layer);
	out->launch = (struct launch_spec){
		.id = c->id,
		.start = c->state.starts,
		.config = c->config,
		.host = c->host,
		.layers = out->layers,
		.nlayers = n,
		.ids = {.base = idrange_base(c->rt->ranges, c->range), .size = idrange_size(c->rt->ranges, c->range)},
		.join_net = -1,
		.join_ipc = -1,
		.join_pid = -1,
		.join_uts = -1,
		.userns = -1,
		.join_shm = -1,
		.log = &out->log,
	};
}

struct container *spec_joined(struct container *c, const char *field, struct err *e)
{
	const char *mode = json_text(c->host, field);

	*e = (struct err){0};
	if (!mode || !str_starts(mode, "container:"))
		return NULL;
	return containers_find(&c->rt->containers, mode + strlen("container:"), e);
}

static int join(struct container *c, const char *field, const char *kind, int *fd, struct container **user,
		struct err *e)
{
	struct container *x = spec_joined(c, field, e);

	if (!x)
		return e->code;
	if (!x->run || !container_alive(x))
		return err_http(e, 409, "cannot join %s of a container that is not running: %s", field, x->name);
	*fd = launch_namespace(x->run, kind, e);
	*user = x;
	return *fd < 0 ? *fd : 0;
}

static int joins(struct container *c, struct spec *s, struct err *e)
{
	struct container *user = NULL;
	int rc = join(c, "NetworkMode", "net", &s->fds[FD_NET_], &user, e);

	if (user)
		s->launch.files_of = user->id;
	if (rc == 0)
		rc = join(c, "IpcMode", "ipc", &s->fds[FD_IPC_], &user, e);
	if (rc == 0 && s->fds[FD_IPC_] >= 0) {
		s->fds[FD_SHM_] = launch_shared_memory(user->run, e);
		rc = s->fds[FD_SHM_] < 0 ? s->fds[FD_SHM_] : 0;
	}
	if (rc == 0)
		rc = join(c, "PidMode", "pid", &s->fds[FD_PID_], &user, e);
	if (rc == 0 && user && s->launch.ids.size) {
		s->fds[FD_USER_] = launch_namespace(user->run, "user", e);
		rc = s->fds[FD_USER_] < 0 ? s->fds[FD_USER_] : 0;
	}
	s->launch.join_net = s->fds[FD_NET_];
	s->launch.join_ipc = s->fds[FD_IPC_];
	s->launch.join_pid = s->fds[FD_PID_];
	s->launch.join_uts = s->fds[FD_UTS_];
	s->launch.userns = s->fds[FD_USER_];
	s->launch.join_shm = s->fds[FD_SHM_];
	return rc;
}

static int open_mounts(struct container *c, struct spec *out, int rc, struct err *e)
{
	if (rc == 0)
		rc = mounts_open(c, &out->mounts, &out->launch.nmounts, e);
	out->launch.mounts = out->mounts;
	if (rc < 0)
		spec_clean(out);
	return rc;
}

int spec_files(struct container *c, struct spec *out, struct err *e)
{
	spec_basic(c, out);
	return open_mounts(c, out, 0, e);
}

int spec_full(struct container *c, struct spec *out, struct err *e)
{
	spec_basic(c, out);
	return open_mounts(c, out, joins(c, out, e), e);
}

void spec_clean(struct spec *s)
{
	mounts_close(s->mounts, s->launch.nmounts);
	for (size_t i = 0; i < ARRAY_LEN(s->fds); i++)
		fd_close(&s->fds[i]);
	free(s->layers);
	logsetup_clean(&s->log);
	*s = (struct spec){.fds = {-1, -1, -1, -1, -1, -1}};
}
