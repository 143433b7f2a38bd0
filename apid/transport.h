/* transport: a client's byte stream: a UNIX socket, a TCP socket, or TLS on one. Never blocks. */
#ifndef POUCH_APID_TRANSPORT_H
#define POUCH_APID_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct evbuffer;
struct ssl_st;

struct transport {
	int fd;
	struct ssl_st *ssl; /* NULL: plain */
	bool want_write;    /* TLS: what was begun goes on when the socket is writable */
	bool broken;	    /* TLS: nothing more can be said */
};

/* Bytes read, 0 at the end of what the client sends, -EAGAIN, or -errno. */
ssize_t transport_read(struct transport *t, void *buf, size_t len);
/* Write from the front of `out` and drain what was taken. Bytes taken, -EAGAIN, or -errno. */
ssize_t transport_write(struct transport *t, struct evbuffer *out);
/* How many of these bytes the kernel took; what stops it is for transport_write() to find out. */
size_t transport_send(struct transport *t, const void *data, size_t len);
/* Bytes that can be read without the socket becoming readable. */
size_t transport_pending(const struct transport *t);
/* No more bytes go to the client. */
void transport_end_writing(struct transport *t);
/* Has the client closed both ways? */
bool transport_gone(const struct transport *t);
void transport_close(struct transport *t);

#endif
