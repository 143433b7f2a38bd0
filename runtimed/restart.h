/* restart: restart policies: what follows an exit, with Docker's back-off. */
#ifndef POUCH_RUNTIMED_RESTART_H
#define POUCH_RUNTIMED_RESTART_H

#include "runtimed/container.h"

/* By its policy and how it has ended, would it be started again? */
bool restart_wanted(const struct container *c);
/* It has exited by itself or was stopped: stay exited, or become restarting with a timer. */
void restart_plan(struct container *c);
void restart_cancel_timer(struct container *c);
/* After a restart of runtimed or of the host, for a container that does not run. */
void restart_resume(struct container *c);

#endif
