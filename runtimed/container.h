/*
 * container: the record of a container, its states, and who waits for what.
 *
 *   created → running ⇄ paused
 *   running → exited | restarting → running
 *   created, exited, dead → removing → gone (dead when removal failed; it can be tried again)
 *
 * The record (what it is) changes by create, rename and update and is committed before the answer. The
 * state (what it does) follows the shims; it is stored without waiting for the disk.
 */
#ifndef POUCH_RUNTIMED_CONTAINER_H
#define POUCH_RUNTIMED_CONTAINER_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "lib/err.h"
#include "runtimed/table.h"

struct runtimed;
struct container;
struct exec;
struct health;
struct launch_run;
struct pausing;

#define ID_LEN 64

enum container_status {
	CT_CREATED,
	CT_RUNNING,
	CT_PAUSED,
	CT_RESTARTING,
	CT_REMOVING,
	CT_EXITED,
	CT_DEAD,
};

struct container_state {
	enum container_status status;
	pid_t pid; /* of the container's first process, as the host sees it; 0 when not running */
	int exit_code;
	char *error; /* NULL: none */
	bool oom_killed;
	bool stopped_by_user;	   /* by stop or kill: "unless-stopped" stays down, the Pouch dialect says "stopped" */
	int64_t started, finished; /* nanoseconds since 1970; 0: never */
	uint32_t restart_count;
	bool restart_counted; /* the restart that is awaited or under way is in restart_count */
	bool restart_due; /* ended for a restart by request, whose start is not settled; the policy wants it to run */
	uint64_t starts;  /* how often it was asked to start: the number of the last one */
	uint64_t ended;	  /* the last start that is known to be over */
	uint64_t exits;	  /* how often it has exited; tells a cut wait what it has missed */
};

/* Someone who waits. Called once; the waiter has left its list by then and may be freed or added again. */
struct waiter {
	TAILQ_ENTRY(waiter) link;
	struct container *container; /* NULL: waits nowhere */
	uint32_t events;	     /* CE_ bits that end the waiting */
	bool due;		     /* the event that is being told is its */
	void (*fn)(struct waiter *w, struct container *c, uint32_t event);
};

enum container_event {
	CE_EXIT = 1u << 0,     /* the process has ended, whatever follows */
	CE_STARTED = 1u << 1,  /* running */
	CE_SETTLED = 1u << 2,  /* a start in flight has succeeded or failed */
	CE_REMOVED = 1u << 3,  /* gone for good; the last event */
	CE_GIVEN_UP = 1u << 4, /* it was to be restarted, and will not be */
};

TAILQ_HEAD(waiters, waiter);
TAILQ_HEAD(containers_queue, container);
TAILQ_HEAD(changed_list, container);
TAILQ_HEAD(exec_list, exec);
TAILQ_HEAD(attach_list, attach);

struct container {
	TAILQ_ENTRY(container) link; /* all containers, oldest first */
	struct runtimed *rt;
	unsigned refs;

	/* The record. */
	char id[ID_LEN + 1];
	char *name; /* without the slash */
	int64_t created;
	char *image;	      /* "sha256:…" */
	char *owner;	      /* who created it, for the policy; "" when the engine does not say */
	bool own_volumes;     /* while it is created: others' are not for its owner to use */
	json_t *config;	      /* ContainerConfig, merged with the image's */
	json_t *image_labels; /* names of the labels that are the image's alone; NULL: there are none */
	json_t *host;	      /* HostConfig, defaults filled in */
	char *image_name;     /* as the client wrote it: Config.Image */
	json_t *endpoints;    /* NetworkingConfig.EndpointsConfig as asked for */
	json_t *mounts;	      /* MountPoint objects, with what a start needs to know under "_" */
	int64_t image_size;   /* bytes of those layers; 0 while not known */
	json_t *layers;	      /* names below imaged's layers, lowest first */
	uint32_t range;	      /* number of its id range; RANGE_NONE: host ids */

	struct container_state state;

	/* What is going on now; not stored. */
	bool starting, removing;
	bool streams_ready;	    /* its shim takes streams: behind prepared() */
	bool restarting_by_request; /* the exit is the first half of a restart: no policy, no removal */
	bool attached_network;	    /* netd has endpoints of it */
	bool uses_volumes;	    /* volumed has mounted for it */
	int64_t own_size;	    /* SizeRw as measured while it did not run; -1: to be measured */
	bool start_waits;	    /* for looks at its files, or what its last run has left, to end */
	bool resumes;		    /* its restart policy has not been asked since runtimed was started */
	bool dirty;		    /* its state is to be stored */
	TAILQ_ENTRY(container) changed;
	struct err *start_error; /* why the last start failed */
	unsigned backoff_ms;
	struct event *restart_timer;
	struct health *health;
	char *hosts, *resolv_conf; /* contents of the files, as netd said at the last attach */
	json_t *network;	   /* NetworkSettings as netd says; NULL: nothing but what was asked for */
	struct waiters waiters;
	struct exec_list execs;
	struct attach_list attaches; /* streams that wait for the start */
	struct launch_run *run;	     /* from the beginning of a start until the exit */
	struct pausing *pausing;     /* the pause in progress */

	char *listed; /* the list item's JSON up to the words of "Status", made when first asked for; NULL after a
			 change */
};

struct containers {
	struct containers_queue all;
	struct table by_id, by_name;
	size_t count;
	size_t linking; /* those that have links */
};

const char *container_status_name(enum container_status s);
/* The reverse; -1 for an unknown word. */
int container_status_parse(const char *name);

/* A fresh record with a random id, in no list; ends by container_unref(). */
struct container *container_new(struct runtimed *rt);
struct container *container_ref(struct container *c);
void container_unref(struct container *c);

/* "id[0..11]": how a container is called in logs and as default host name. */
const char *container_short(const struct container *c, char out[13]);

/* Runs or is paused: has a process. */
static inline bool container_alive(const struct container *c)
{
	return c->state.status == CT_RUNNING || c->state.status == CT_PAUSED;
}
/* Docker's State.Running, which stays true between a failed run and its restart. */
static inline bool container_running(const struct container *c)
{
	return container_alive(c) || c->state.status == CT_RESTARTING;
}

/* Set or clear (NULL) the error text. */
void container_set_error(struct container *c, const char *text);
/* Something that list or inspect shows has changed: store the state soon, drop the rendered form. */
void container_changed(struct container *c);
/*
 * The same, and the state is stored when it returns: for what somebody is told of next. runtimed may be killed right
 * behind the answer, and the next one goes by the record: it ends a container that is not known to run.
 */
void container_settled(struct container *c);

void container_wait(struct container *c, struct waiter *w, uint32_t events,
		    void (*fn)(struct waiter *w, struct container *c, uint32_t event));
void waiter_cancel(struct waiter *w);
/* Tell those who wait for `event`. */
void container_notify(struct container *c, uint32_t event);

/* Members of the record, by name; NULL, 0 or false when absent. */
const char *json_text(const json_t *o, const char *key);
int64_t json_int(const json_t *o, const char *key);
bool json_true_at(const json_t *o, const char *key);

#endif
