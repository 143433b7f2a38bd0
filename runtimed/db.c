#include "runtimed/db.h"

#include <errno.h>

#include "lib/log.h"
#include "runtimed/exec.h"
#include "runtimed/idrange.h"
#include "runtimed/names.h"
#include "runtimed/reserve.h"
#include "runtimed/runtimed.h"

static const char *const schema[] = {
	"CREATE TABLE container("
	" id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, image TEXT NOT NULL,"
	" image_name TEXT NOT NULL, owner TEXT NOT NULL, id_range INTEGER NOT NULL, config TEXT NOT NULL, host TEXT "
	"NOT NULL,"
	" endpoints TEXT, mounts TEXT, layers TEXT NOT NULL, removing INTEGER NOT NULL DEFAULT 0) STRICT;"
	"CREATE TABLE state(id TEXT PRIMARY KEY REFERENCES container(id) ON DELETE CASCADE, state TEXT NOT NULL) "
	"STRICT;"
	"CREATE TABLE exec(id TEXT PRIMARY KEY, container TEXT NOT NULL REFERENCES container(id) ON DELETE CASCADE,"
	" config TEXT NOT NULL, status INTEGER NOT NULL, pid INTEGER NOT NULL, exit_code INTEGER) STRICT;"
	"CREATE INDEX exec_container ON exec(container);",
	"CREATE TABLE owed(id TEXT PRIMARY KEY, anonymous INTEGER NOT NULL) STRICT, WITHOUT ROWID;",
	"ALTER TABLE container ADD COLUMN image_size INTEGER NOT NULL DEFAULT 0;",
	"UPDATE container SET endpoints='{\"none\":{}}' WHERE json_extract(host,'$.NetworkMode')='none';",
	/* Of containers that were made before, nobody knows any more which labels were asked for: none gives a role. */
	"ALTER TABLE container ADD COLUMN image_labels TEXT;"
	"UPDATE container SET image_labels=(SELECT json_group_array(key) FROM json_each(config, '$.Labels'));",
	NULL,
};

/* ---- states ---- */

json_t *state_to_json(const struct container_state *s)
{
	json_t *o = json_pack("{s:s s:i s:i s:b s:b s:I s:I s:i s:b s:b s:I s:I s:I}", "status",
			      container_status_name(s->status), "pid", (int)s->pid, "exit", s->exit_code, "oom",
			      s->oom_killed, "by_user", s->stopped_by_user, "started", (json_int_t)s->started,
			      "finished", (json_int_t)s->finished, "restarts", (int)s->restart_count, "counted",
			      s->restart_counted, "due", s->restart_due, "exits", (json_int_t)s->exits, "starts",
			      (json_int_t)s->starts, "ended", (json_int_t)s->ended);

	if (s->error)
		json_object_set_new(o, "error", json_string(s->error));
	return o;
}

void state_from_json(struct container_state *s, const json_t *o)
{
	const char *name = json_text(o, "status");
	int status = name ? container_status_parse(name) : -1;

	*s = (struct container_state){
		.status = status < 0 ? CT_EXITED : (enum container_status)status,
		.pid = (pid_t)json_int(o, "pid"),
		.exit_code = (int)json_int(o, "exit"),
		.oom_killed = json_true_at(o, "oom"),
		.stopped_by_user = json_true_at(o, "by_user"),
		.started = json_int(o, "started"),
		.finished = json_int(o, "finished"),
		.restart_count = (uint32_t)json_int(o, "restarts"),
		.restart_counted = json_true_at(o, "counted"),
		.restart_due = json_true_at(o, "due"),
		.exits = (uint64_t)json_int(o, "exits"),
		.starts = (uint64_t)json_int(o, "starts"),
		.ended = (uint64_t)json_int(o, "ended"),
	};
	if (json_text(o, "error"))
		s->error = xstrdup(json_text(o, "error"));
}

static int put_state(struct container *c, struct err *e)
{
	json_t *state = state_to_json(&c->state);

	if (c->network)
		json_object_set(state, "network", c->network);
	int rc = store_exec(c->rt->store, e,
			    "INSERT INTO state VALUES(?,?) ON CONFLICT(id) DO UPDATE SET state=excluded.state", "tj",
			    c->id, state);

	json_decref(state);
	return rc;
}

void db_touch(struct container *c)
{
	static const struct timeval now = {0};
	struct runtimed *rt = c->rt;

	if (c->dirty || !table_get(&rt->containers.by_id, c->id))
		return;
	c->dirty = true;
	TAILQ_INSERT_TAIL(&rt->changed, c, changed);
	event_add(rt->flush, &now);
}

static void clean(struct container *c)
{
	if (c->dirty)
		TAILQ_REMOVE(&c->rt->changed, c, changed);
	c->dirty = false;
}

static int flush(struct runtimed *rt, struct err *e)
{
	struct container *c;

	int rc = store_begin(rt->store, e);
	TAILQ_FOREACH(c, &rt->changed, changed)
		if (rc == 0)
			rc = put_state(c, e);
	if (rc == 0)
		rc = store_commit(rt->store, e);
	if (rc < 0)
		store_rollback(rt->store);
	return rc;
}

void db_flush(struct runtimed *rt)
{
	static const struct timeval later = {.tv_sec = 1};
	struct container *c;
	struct err e = {0};

	if (TAILQ_EMPTY(&rt->changed))
		return;
	store_wait(rt->store, false);
	int rc = flush(rt, &e);
	store_wait(rt->store, true);
	if (rc < 0) {
		/* A full disk: what is in memory stays true, and is tried again. */
		log_error("store container states: %s", e.text);
		event_add(rt->flush, &later);
		return;
	}
	while ((c = TAILQ_FIRST(&rt->changed)))
		clean(c);
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	db_flush(arg);
}

/* ---- records ---- */

static int insert(struct container *c, struct err *e)
{
	int rc = store_exec(
		c->rt->store, e,
		"INSERT INTO container(id,name,created,image,image_name,owner,id_range,config,host,endpoints,mounts,"
		"layers,image_size,image_labels) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
		"ttitttijjjjjij", c->id, c->name, c->created, c->image, c->image_name, c->owner, (int64_t)c->range,
		c->config, c->host, c->endpoints, c->mounts, c->layers, c->image_size, c->image_labels);

	return rc == 0 ? put_state(c, e) : rc;
}

int db_insert(struct container *c, struct err *e)
{
	struct store *s = c->rt->store;
	int rc = store_begin(s, e);

	if (rc == 0)
		rc = insert(c, e);
	if (rc == 0)
		rc = store_exec(s, e, "DELETE FROM owed WHERE id=?", "t", c->id);
	if (rc == 0)
		rc = store_commit(s, e);
	if (rc < 0)
		store_rollback(s);
	return rc;
}

int db_update(struct container *c, struct err *e)
{
	return store_exec(c->rt->store, e, "UPDATE container SET host=?, endpoints=?, mounts=? WHERE id=?", "jjjt",
			  c->host, c->endpoints, c->mounts, c->id);
}

int db_rename(struct container *c, const char *name, struct err *e)
{
	return store_exec(c->rt->store, e, "UPDATE container SET name=? WHERE id=?", "tt", name, c->id);
}

int db_delete(struct container *c, struct err *e)
{
	int rc;

	do
		rc = store_exec(c->rt->store, e, "DELETE FROM container WHERE id=?", "t", c->id);
	while (rc == -ENOSPC && reserve_use(c->rt->reserve));
	if (rc == 0) {
		clean(c);
		reserve_keep(c->rt->reserve);
	}
	return rc;
}

/* ---- what others hold for containers that are not there ---- */

int db_owe(struct container *c, bool anonymous, struct err *e)
{
	int rc;

	do
		rc = store_exec(c->rt->store, e,
				"INSERT INTO owed VALUES(?,?) ON CONFLICT(id) DO UPDATE SET anonymous=?", "tii", c->id,
				(int64_t)anonymous, (int64_t)anonymous);
	while (rc == -ENOSPC && reserve_use(c->rt->reserve));
	return rc;
}

void db_paid(struct runtimed *rt, const char *id)
{
	struct err e;

	/* To pay again does no harm: not worth waiting for the disk. */
	store_wait(rt->store, false);
	if (store_exec(rt->store, &e, "DELETE FROM owed WHERE id=?", "t", id) < 0)
		log_error("forget what is owed for %.12s: %s", id, e.text);
	store_wait(rt->store, true);
}

bool db_owes_anonymous(struct container *c)
{
	int64_t anonymous = 0;

	store_number(c->rt->store, 0, &anonymous, NULL, "SELECT anonymous FROM owed WHERE id=?", "t", c->id);
	return anonymous;
}

static int add_owed(void *arg, struct store_row *r)
{
	return json_object_set_new(arg, store_text(r, 0), json_boolean(store_int(r, 1)));
}

json_t *db_owed(struct runtimed *rt)
{
	json_t *all = json_object();
	struct err e;

	if (store_query(rt->store, add_owed, all, &e,
			"SELECT id, anonymous FROM owed WHERE id NOT IN (SELECT id FROM container)", "") < 0)
		log_error("what is owed: %s", e.text);
	return all;
}

/* ---- execs ---- */

int db_exec_put(const struct exec *x, struct err *e)
{
	struct store *s = x->container->rt->store;

	/* As states: an exec is not worth waiting for the disk. */
	store_wait(s, false);
	int rc = store_exec(s, e,
			    "INSERT INTO exec VALUES(?,?,?,?,?,?) ON CONFLICT(id) DO UPDATE SET status=excluded.status,"
			    " pid=excluded.pid, exit_code=excluded.exit_code",
			    "ttjiii", x->id, x->container->id, x->config, (int64_t)x->status, (int64_t)x->pid,
			    x->has_exit_code ? (int64_t)x->exit_code : (int64_t)-1);
	store_wait(s, true);
	return rc;
}

void db_exec_delete(const struct exec *x)
{
	struct store *s = x->container->rt->store;
	struct err e;

	store_wait(s, false);
	if (store_exec(s, &e, "DELETE FROM exec WHERE id=?", "t", x->id) < 0)
		log_error("forget exec %.12s: %s", x->id, e.text);
	store_wait(s, true);
}

/* ---- start ---- */

static int read_documents(struct store_row *r, struct container *c, struct err *e)
{
	json_t **const to[] = {&c->config, &c->host, &c->endpoints, &c->mounts, &c->layers};

	for (size_t i = 0; i < ARRAY_LEN(to); i++)
		if (store_json(r, (int)(7 + i), to[i], e) < 0)
			return err_prefix(e, "container %s", c->id);
	return 0;
}

struct load {
	struct runtimed *rt;
	struct err *e;
};

static int load_container(void *arg, struct store_row *r)
{
	struct load *load = arg;
	struct container *c = container_new(load->rt);
	json_t *state = NULL;

	snprintf(c->id, sizeof c->id, "%s", store_text(r, 0));
	c->name = xstrdup(store_text(r, 1));
	c->created = store_int(r, 2);
	c->image = xstrdup(store_text(r, 3));
	free(c->image_name);
	c->image_name = xstrdup(store_text(r, 4));
	free(c->owner);
	c->owner = xstrdup(store_text(r, 5));
	c->range = (uint32_t)store_int(r, 6);
	int rc = read_documents(r, c, load->e);
	if (rc == 0)
		rc = store_json(r, 13, &state, load->e);
	if (rc == 0)
		rc = store_json(r, 15, &c->image_labels, load->e);
	if (rc < 0) {
		container_unref(c);
		return rc;
	}
	state_from_json(&c->state, state);
	c->network = json_incref(json_object_get(state, "network"));
	json_decref(state);
	if (store_int(r, 12))
		c->state.status = CT_REMOVING;
	c->image_size = store_int(r, 14);
	idrange_hold(load->rt->ranges, c->range);
	containers_add(&load->rt->containers, c);
	return 0;
}

static int load_exec(void *arg, struct store_row *r)
{
	struct load *load = arg;
	struct container *c = table_get(&load->rt->containers.by_id, store_text(r, 1));
	json_t *config = NULL;

	if (!c)
		return 0;
	int rc = store_json(r, 2, &config, load->e);
	if (rc < 0)
		return rc;
	struct exec *x = exec_new(c, config);
	snprintf(x->id, sizeof x->id, "%s", store_text(r, 0));
	x->status = (enum exec_status)store_int(r, 3);
	x->pid = (pid_t)store_int(r, 4);
	x->has_exit_code = store_int(r, 5) >= 0;
	x->exit_code = x->has_exit_code ? (int)store_int(r, 5) : 0;
	exec_add(load->rt, x);
	return 0;
}

int db_load(struct runtimed *rt, struct err *e)
{
	struct load load = {rt, e};

	int rc = store_query(
		rt->store, load_container, &load, e,
		"SELECT c.id,name,created,image,image_name,owner,id_range,config,host,endpoints,mounts,layers,"
		"removing,state,image_size,image_labels FROM container c LEFT JOIN state s ON s.id=c.id ORDER BY "
		"created",
		"");
	if (rc == 0)
		rc = store_query(rt->store, load_exec, &load, e,
				 "SELECT id,container,config,status,pid,exit_code FROM exec", "");
	return rc;
}

int db_open(struct runtimed *rt, const char *path, struct err *e)
{
	TAILQ_INIT(&rt->changed);
	rt->flush = evtimer_new(rt->d.base, on_flush, rt);
	int rc = store_open(path, "containers", schema, &rt->store, e);
	if (rc == 0)
		rt->reserve = reserve_new(path);
	return rc;
}

void db_close(struct runtimed *rt)
{
	db_flush(rt);
	event_free(rt->flush);
	store_free(rt->store);
	rt->store = NULL;
	reserve_free(rt->reserve);
}
