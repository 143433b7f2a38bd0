#include "imaged/unpack/digest.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define LARGE (32u << 10) /* below, two wake-ups cost more than the hashing */
#define STACK (128u << 10)

struct digest_thread {
	pthread_t id;
	sem_t given, done;
	bool busy; /* the other side's: something is given that is not known to be done */
	/* Whose these are, the semaphores say. */
	struct evp_md_ctx_st *ctx;
	const void *data; /* NULL: end */
	size_t len;
};

static void hash(struct evp_md_ctx_st *ctx, const void *data, size_t len)
{
	if (EVP_DigestUpdate(ctx, data, len) != 1)
		abort();
}

/* ---- the thread ---- */

static void semaphore_wait(sem_t *s)
{
	while (sem_wait(s) < 0)
		;
}

static void *work(void *arg)
{
	struct digest_thread *t = arg;

	for (;;) {
		semaphore_wait(&t->given);
		if (!t->data)
			return NULL;
		hash(t->ctx, t->data, t->len);
		sem_post(&t->done);
	}
}

static struct digest_thread *thread_new(void)
{
	struct digest_thread *t = XNEW(struct digest_thread);
	pthread_attr_t attributes;
	sigset_t all, before;

	sem_init(&t->given, 0, 0);
	sem_init(&t->done, 0, 0);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&t->id, &attributes, work, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (rc == 0)
		return t;
	free(t);
	return NULL;
}

static void thread_give(struct digest_thread *t, struct evp_md_ctx_st *ctx, const void *data, size_t len)
{
	t->ctx = ctx;
	t->data = data;
	t->len = len;
	sem_post(&t->given);
}

static void thread_free(struct digest_thread *t)
{
	if (!t)
		return;
	thread_give(t, NULL, NULL, 0);
	pthread_join(t->id, NULL);
	sem_destroy(&t->given);
	sem_destroy(&t->done);
	free(t);
}

/* ---- the digest ---- */

void digest_begin(struct digest *d)
{
	if (!d->ctx)
		d->ctx = EVP_MD_CTX_new();
	if (!d->ctx || EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) != 1)
		abort();
}

void digest_add(struct digest *d, const void *data, size_t len)
{
	digest_wait(d);
	if (len >= LARGE && !d->thread && !d->alone) {
		d->thread = thread_new();
		d->alone = !d->thread;
	}
	if (len < LARGE || !d->thread) {
		hash(d->ctx, data, len);
		return;
	}
	d->thread->busy = true;
	thread_give(d->thread, d->ctx, data, len);
}

void digest_wait(struct digest *d)
{
	if (d->thread && d->thread->busy)
		semaphore_wait(&d->thread->done);
	if (d->thread)
		d->thread->busy = false;
}

void digest_text(struct digest *d, char out[DIGEST_TEXT])
{
	static const char hex[] = "0123456789abcdef";
	unsigned char raw[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	digest_wait(d);
	if (EVP_DigestFinal_ex(d->ctx, raw, &n) != 1 || n != 32)
		abort();
	memcpy(out, "sha256:", 7);
	for (unsigned i = 0; i < n; i++) {
		out[7 + 2 * i] = hex[raw[i] >> 4];
		out[8 + 2 * i] = hex[raw[i] & 15];
	}
	out[71] = '\0';
}

void digest_free(struct digest *d)
{
	digest_wait(d);
	thread_free(STEAL(d->thread));
	EVP_MD_CTX_free(d->ctx);
	d->ctx = NULL;
}
