/* util: the few idioms every file uses: ownership by cleanup attribute, array length, checked limits. */
#ifndef POUCH_LIB_UTIL_H
#define POUCH_LIB_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define UNUSED	     __attribute__((unused))
/* A large buffer that is written before it is read: not to be zeroed on each call. */
#define UNINITIALIZED __attribute__((uninitialized))
#define CLEANUP(fn)   __attribute__((cleanup(fn), unused)) /* to be cleaned up is a use */

/* close(2) that keeps errno and takes -1; sets *fd to -1. */
void fd_close(int *fd);
/* A descriptor that closes itself when it leaves scope: AUTO_CLOSE int fd = -1; */
#define AUTO_CLOSE CLEANUP(fd_close)
/* Give a descriptor away: `return STEAL_FD(fd);` leaves -1 behind. */
#define STEAL_FD(fd) steal_fd_(&(fd))
static inline int steal_fd_(int *fd)
{
	int v = *fd;
	*fd = -1;
	return v;
}

static inline void free_p_(void *p)
{
	free(*(void **)p);
}
/* Heap memory that frees itself: AUTO_FREE char *s = NULL; */
#define AUTO_FREE CLEANUP(free_p_)
/* Give a pointer away: `return STEAL(s);` leaves NULL behind. */
#define STEAL(p)                                                                                                       \
	({                                                                                                             \
		__typeof__(p) steal_tmp_ = (p);                                                                        \
		(p) = NULL;                                                                                            \
		steal_tmp_;                                                                                            \
	})

/*
 * Allocation that cannot fail from the caller's view: a daemon that is out of memory logs it
 * and ends, and is restarted with its state as last committed. For sizes that we choose; a
 * size that a peer chose is checked against its limit first.
 */
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t n, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull, nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
void *xmemdup(const void *p, size_t n) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));
/* free(), for what may hold a secret: nothing of it stays in the heap. NULL is fine. */
void free_cleared(void *p);
#define XNEW(type) ((type *)xcalloc(1, sizeof(type)))

static inline bool str_eq(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}
static inline bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

#endif
