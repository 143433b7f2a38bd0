#include "lib/jobs.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/util.h"

struct job {
	const struct job_kind *kind;
	void *arg;
	STAILQ_ENTRY(job) next;
};
STAILQ_HEAD(job_list, job);

struct jobs {
	pthread_t thread;
	bool running; /* the thread exists */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct job_list waiting, finished; /* both under the lock */
	atomic_bool stop;
	int fd; /* eventfd: something is in `finished` */
	struct event *event;
};

static void *work(void *arg)
{
	struct jobs *j = arg;

	pthread_mutex_lock(&j->lock);
	while (!j->stop) {
		struct job *job = STAILQ_FIRST(&j->waiting);

		if (!job) {
			pthread_cond_wait(&j->wake, &j->lock);
			continue;
		}
		STAILQ_REMOVE_HEAD(&j->waiting, next);
		pthread_mutex_unlock(&j->lock);
		job->kind->run(job->arg, &j->stop);
		pthread_mutex_lock(&j->lock);
		STAILQ_INSERT_TAIL(&j->finished, job, next);
		eventfd_write(j->fd, 1);
	}
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

static void on_finished(evutil_socket_t fd, short what, void *arg)
{
	struct jobs *j = arg;
	struct job_list finished = STAILQ_HEAD_INITIALIZER(finished);
	struct job *job;
	eventfd_t n;

	(void)what;
	eventfd_read(fd, &n);
	pthread_mutex_lock(&j->lock);
	STAILQ_CONCAT(&finished, &j->finished);
	pthread_mutex_unlock(&j->lock);
	while ((job = STAILQ_FIRST(&finished))) {
		STAILQ_REMOVE_HEAD(&finished, next);
		job->kind->done(job->arg);
		free(job);
	}
}

int jobs_new(struct event_base *base, struct jobs **out, struct err *e)
{
	struct jobs *j = XNEW(struct jobs);

	j->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (j->fd < 0) {
		free(j);
		return err_sys(e, -errno, "eventfd");
	}
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->wake, NULL);
	STAILQ_INIT(&j->waiting);
	STAILQ_INIT(&j->finished);
	j->event = event_new(base, j->fd, EV_READ | EV_PERSIST, on_finished, j);
	event_add(j->event, NULL);
	*out = j;
	return 0;
}

static void drop_all(struct job_list *list)
{
	struct job *job;

	while ((job = STAILQ_FIRST(list))) {
		STAILQ_REMOVE_HEAD(list, next);
		job->kind->drop(job->arg);
		free(job);
	}
}

void jobs_free(struct jobs *j)
{
	if (!j)
		return;
	pthread_mutex_lock(&j->lock);
	j->stop = true;
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->lock);
	if (j->running)
		pthread_join(j->thread, NULL);
	drop_all(&j->waiting);
	drop_all(&j->finished);
	event_free(j->event);
	close(j->fd);
	pthread_cond_destroy(&j->wake);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

/* Signals are the event loop's. */
static void start_thread(struct jobs *j)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int r = pthread_create(&j->thread, NULL, work, j);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	j->running = r == 0;
	if (r)
		log_error("file work holds up everything else, for want of a thread: %s", strerror(r));
}

/* The work has to be done all the same; the next job tries again for a thread. */
static void run_here(struct jobs *j, struct job *job)
{
	job->kind->run(job->arg, &j->stop);
	pthread_mutex_lock(&j->lock);
	STAILQ_INSERT_TAIL(&j->finished, job, next);
	pthread_mutex_unlock(&j->lock);
	eventfd_write(j->fd, 1);
}

void jobs_add(struct jobs *j, const struct job_kind *kind, void *take_arg)
{
	struct job *job = XNEW(struct job);

	job->kind = kind;
	job->arg = take_arg;
	if (!j->running)
		start_thread(j);
	if (!j->running) {
		run_here(j, job);
		return;
	}
	pthread_mutex_lock(&j->lock);
	STAILQ_INSERT_TAIL(&j->waiting, job, next);
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->lock);
}
