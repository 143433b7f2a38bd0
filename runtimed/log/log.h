/*
 * log: a worker that takes one container's lines to a collector: syslog, journald, gelf, fluentd, splunk.
 *
 *   the shim -- socket --> main thread: reader.c --> queue.c --> sender thread: sender.c --> a driver --> collector
 *
 * It has one request in its life, log_carry, and ends when its container's shim has ended and the lines are delivered,
 * or given up. What waits for a collector that is away is bounded; then the container waits, or lines are dropped and
 * counted, as its option "mode" says.
 */
#ifndef POUCH_RUNTIMED_LOG_LOG_H
#define POUCH_RUNTIMED_LOG_LOG_H

#include <event2/event.h>
#include <jansson.h>
#include <openssl/types.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/err.h"
#include "lib/logopt.h"

/* ---- what is to be done (setup.c) ---- */

struct setup {
	json_t *doc; /* as ipc/log.def says; the members below point into it */
	enum log_driver driver;
	const json_t *options, *attributes;
	const char *tag, *id, *name, *image, *image_id, *command, *hostname;
	int64_t created;
	const char *journal; /* path of the journal's socket */
};

int setup_read(int fd, const char *journal, struct setup *out, struct err *e);
void setup_free(struct setup *s);

/* ---- lines that wait (queue.c, line.c), between the two threads ---- */

struct line {
	STAILQ_ENTRY(line) next;
	int64_t time;
	bool is_err, partial;
	uint32_t len;
	char text[]; /* a NUL is behind it */
};

STAILQ_HEAD(lines, line);

/* Its text as a JSON string; bytes that are no UTF-8 become U+FFFD. */
json_t *line_json(const struct line *line);

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct lines lines;
	size_t bytes, limit; /* of lines, those included that are being sent */
	bool drops;	     /* a full one drops what comes */
	uint64_t dropped;
	bool ended;	  /* no more will come */
	int64_t deadline; /* then, nanoseconds of the monotonic clock */
	int wake;	  /* eventfd: there is room again */
};

int queue_init(struct queue *q, size_t limit, bool drops, struct err *e);
void queue_clean(struct queue *q);
/* Takes the line; with `drops` perhaps drops it. */
void queue_put(struct queue *q, struct line *take_line);
bool queue_full(struct queue *q);
void queue_count_dropped(struct queue *q, uint64_t n);
/* No more comes; what is there is to be delivered within `ms`. */
void queue_end(struct queue *q, unsigned ms);
/* Wait for lines and move up to `max` of them to `out`. Returns their number, 0 at the end. */
size_t queue_take(struct queue *q, size_t max, struct lines *out);
/* These are delivered, or given up (and counted as dropped). */
void queue_done(struct queue *q, struct lines *lines, bool delivered);
/* Wait `ms`. Returns false when there is no time left to deliver anything. */
bool queue_pause(struct queue *q, unsigned ms);

/* ---- connections (stream.c) ---- */

struct stream {
	int fd;
	SSL *ssl;
	SSL_CTX *context;
};

struct stream_how {
	struct log_address address;
	bool tls, insecure;
	const char *ca, *cert, *key; /* paths; NULL: none */
	const char *name;	     /* in the other's certificate; NULL: the address's host */
	unsigned timeout_ms;	     /* of each connection, write and read */
};

/* All wait no longer than the timeout. */
int stream_open(struct stream *s, const struct stream_how *how, struct err *e);
int stream_write(struct stream *s, const struct stream_how *how, const void *data, size_t len, struct err *e);
/* Bytes read; 0 at the end. */
ssize_t stream_read(struct stream *s, const struct stream_how *how, void *data, size_t size, struct err *e);
/* Has the other not hung up? A write to it would seem to succeed. */
bool stream_alive(const struct stream *s);
void stream_close(struct stream *s);
bool stream_is_open(const struct stream *s);

/* ---- drivers ---- */

struct sink;

struct driver {
	/* The connection's kind, from the options; once. */
	int (*prepare)(struct sink *k, struct err *e);
	/* Open, when it is not. */
	int (*connect)(struct sink *k, struct err *e);
	/* Deliver `line`, or keep it for flush(). */
	int (*send)(struct sink *k, const struct line *line, struct err *e);
	/* Deliver what was kept, know that it has arrived; NULL: there is nothing to do. */
	int (*flush)(struct sink *k, struct err *e);
	size_t batch; /* lines between two flushes; a batch that fails is sent again, whole */
};

extern const struct driver driver_syslog, driver_journald, driver_gelf, driver_fluentd, driver_splunk;

/* A driver at work; only the sender's thread touches it. */
struct sink {
	const struct driver *driver;
	const struct setup *setup;
	struct stream_how how;
	struct stream stream;
	unsigned max_attempts;	    /* before what waits is given up; 0: no end */
	unsigned wait_ms, wait_max; /* between attempts; doubles up to the second */
	bool check_at_start;	    /* the container waits for the first connection */
	char *buffer;		    /* of lines that are kept */
	size_t have, size;
	uint64_t partial_id, partial_ordinal; /* of the long line being sent in pieces */
	int64_t connected_at;		      /* monotonic */
	uint32_t kept;			      /* lines in the buffer */
	bool verified;			      /* the collector has answered once */
	char channel[40];		      /* splunk's, of this worker */
};

void sink_put(struct sink *k, const void *data, size_t len);
void sink_text(struct sink *k, const char *text);

/* The answer to a request that was written (http.c): its status, and the beginning of its body for a message. */
int http_answer(struct sink *k, int *status, char *text, size_t size, struct err *e);

/* ---- the sender's thread (sender.c) ---- */

struct sender {
	struct sink sink;
	struct queue *queue;
	pthread_t thread;
	bool running;
	/* Written by the thread before it writes to `told`. */
	struct err first; /* how the first connection went */
	bool stale;	  /* another process may do better */
	bool first_ok, finished;
	int told; /* eventfd: the first connection is made or has failed; everything is finished */
};

/* `again`: the container runs already, so nothing is checked first. */
int sender_start(struct sender *s, const struct setup *setup, struct queue *q, bool again, struct err *e);
void sender_clean(struct sender *s);

/* ---- lines from the shim (reader.c) ---- */

struct reader {
	struct event_base *base;
	struct queue *queue;
	int fd;
	struct event *readable, *room;
	char *bytes;
	size_t have, size;
	void (*ended)(void *arg);
	void *arg;
};

void reader_start(struct reader *r, struct event_base *base, int take_fd, struct queue *q, void (*ended)(void *arg),
		  void *arg);
void reader_clean(struct reader *r);

int64_t monotonic_ns(void);

#endif
