#include "ipc/codec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/util.h"

#define ABSENT	  0xffffffffu
#define IN_PACKET 0
#define IN_MEMFD  1

/* What is inline together stays below this, so that a packet always holds the fixed fields too. */
#define INLINE_SUM (IPC_MESSAGE_MAX - (6u << 10))

static void *member(void *msg, const struct ipc_field *f)
{
	return (char *)msg + f->offset;
}

static const void *member_const(const void *msg, const struct ipc_field *f)
{
	return (const char *)msg + f->offset;
}

static const struct ipc_bytes *bytes_const(const void *msg, const struct ipc_field *f)
{
	const void *p = member_const(msg, f);

	return f->type == T_DOC ? &((const struct ipc_doc *)p)->raw : p;
}

static int bad(struct err *e, const struct ipc_message *m, const struct ipc_field *f, const char *why)
{
	return err_set(e, -EBADMSG, "%s.%s: %s", m->name, f->name, why);
}

/* ---- the rules of a field, the same for both directions ---- */

static int check_number(const struct ipc_message *m, const struct ipc_field *f, uint64_t v, struct err *e)
{
	return v <= f->max ? 0 : bad(e, m, f, "out of range");
}

static int check_signed(const struct ipc_message *m, const struct ipc_field *f, int64_t v, struct err *e)
{
	return v >= f->min && v <= (int64_t)f->max ? 0 : bad(e, m, f, "out of range");
}

static int check_text(const struct ipc_message *m, const struct ipc_field *f, const char *text, size_t len,
		      struct err *e)
{
	if (len < (uint64_t)f->min || len > f->max)
		return bad(e, m, f, "length out of range");
	if (memchr(text, '\0', len))
		return bad(e, m, f, "contains NUL");
	if (!grammar_check((enum grammar)f->rule, text, len))
		return err_set(e, -EBADMSG, "%s.%s: not %s", m->name, f->name, grammar_words((enum grammar)f->rule));
	return 0;
}

static int check_absent(const struct ipc_message *m, const struct ipc_field *f, struct err *e)
{
	return f->need == OPTIONAL ? 0 : bad(e, m, f, "missing");
}

/* ---- encoding ---- */

static int put(struct ipc_packet *p, const void *data, size_t len)
{
	if (len > IPC_MESSAGE_MAX - p->len)
		return -EMSGSIZE;
	memcpy(p->bytes + p->len, data, len);
	p->len += len;
	return 0;
}

static int put_uint(struct ipc_packet *p, uint64_t v, size_t size)
{
	unsigned char le[8];

	for (size_t i = 0; i < size; i++)
		le[i] = (unsigned char)(v >> (8 * i));
	return put(p, le, size);
}

static int put_fd(struct ipc_packet *p, int fd, bool own)
{
	if (p->nfds == IPC_FDS_MAX)
		return -EMSGSIZE;
	if (own)
		p->own |= 1u << p->nfds;
	p->fds[p->nfds++] = fd;
	return 0;
}

static int encode_text(const struct ipc_message *m, const struct ipc_field *f, const char *text, struct ipc_packet *p,
		       struct err *e)
{
	if (!text) {
		int r = check_absent(m, f, e);
		return r < 0 ? r : put_uint(p, ABSENT, 4);
	}
	size_t len = strlen(text);
	int r = check_text(m, f, text, len, e);
	if (r == 0)
		r = put_uint(p, len, 4);
	return r < 0 ? r : put(p, text, len + 1);
}

static int encode_bytes(const struct ipc_message *m, const struct ipc_field *f, const struct ipc_bytes *b,
			struct ipc_packet *p, struct err *e)
{
	if (!b->data) {
		int r = check_absent(m, f, e);
		return r < 0 ? r : put_uint(p, ABSENT, 4);
	}
	if (b->len > f->max)
		return bad(e, m, f, "too long");
	int r = put_uint(p, b->len, 4);
	if (r < 0)
		return r;
	if (p->len + b->len < INLINE_SUM) {
		static const char nul;
		r = put_uint(p, IN_PACKET, 1);
		if (r == 0)
			r = put(p, b->data, b->len);
		return r < 0 ? r : put(p, &nul, 1);
	}
	r = put_uint(p, IN_MEMFD, 1);
	if (r < 0)
		return r;
	int fd = fd_memfd(f->name, b->data, b->len, e);
	if (fd < 0)
		return fd;
	r = put_fd(p, fd, true);
	if (r < 0)
		close(fd);
	return r;
}

static int encode_fd(const struct ipc_message *m, const struct ipc_field *f, int fd, struct ipc_packet *p,
		     struct err *e)
{
	if (fd < 0) {
		int r = check_absent(m, f, e);
		return r < 0 ? r : put_uint(p, 0, 1);
	}
	int r = fd_check(fd, (enum fd_kind)f->rule, e);
	if (r < 0)
		return err_prefix(e, "%s.%s", m->name, f->name);
	r = put_uint(p, 1, 1);
	return r < 0 ? r : put_fd(p, fd, false);
}

static int encode_field(const struct ipc_message *m, const struct ipc_field *f, const void *msg, struct ipc_packet *p,
			struct err *e)
{
	const void *at = member_const(msg, f);
	int r;

	switch (f->type) {
	case T_BOOL:
		return put_uint(p, *(const bool *)at, 1);
	case T_U32:
		r = check_number(m, f, *(const uint32_t *)at, e);
		return r < 0 ? r : put_uint(p, *(const uint32_t *)at, 4);
	case T_U64:
		r = check_number(m, f, *(const uint64_t *)at, e);
		return r < 0 ? r : put_uint(p, *(const uint64_t *)at, 8);
	case T_I64:
		r = check_signed(m, f, *(const int64_t *)at, e);
		return r < 0 ? r : put_uint(p, (uint64_t) * (const int64_t *)at, 8);
	case T_STR:
		return encode_text(m, f, *(const char *const *)at, p, e);
	case T_BYTES:
	case T_DOC:
		return encode_bytes(m, f, bytes_const(msg, f), p, e);
	case T_FD:
		return encode_fd(m, f, *(const int *)at, p, e);
	}
	return bad(e, m, f, "unknown type");
}

int ipc_encode(const struct ipc_message *m, const void *msg, struct ipc_packet *p, struct err *e)
{
	for (size_t i = 0; i < m->nfields; i++) {
		int r = encode_field(m, &m->fields[i], msg, p, e);
		if (r == -EMSGSIZE)
			return err_set(e, r, "%s.%s: the message is larger than a packet", m->name, m->fields[i].name);
		if (r < 0)
			return r;
	}
	return 0;
}

void ipc_packet_clean(struct ipc_packet *p)
{
	for (size_t i = 0; i < p->nfds; i++)
		if (p->own & (1u << i))
			close(p->fds[i]);
	p->nfds = 0;
	p->own = 0;
}

/* ---- decoding ---- */

struct reader {
	const unsigned char *bytes;
	size_t len, at;
	const int *fds;
	size_t nfds, next_fd;
};

static int take(struct reader *r, size_t len, const unsigned char **out)
{
	if (len > r->len - r->at)
		return -EBADMSG;
	*out = r->bytes + r->at;
	r->at += len;
	return 0;
}

static int take_uint(struct reader *r, size_t size, uint64_t *out)
{
	const unsigned char *p;

	if (take(r, size, &p) < 0)
		return -EBADMSG;
	*out = 0;
	for (size_t i = 0; i < size; i++)
		*out |= (uint64_t)p[i] << (8 * i);
	return 0;
}

/* `len` bytes and the NUL behind them. */
static int take_terminated(struct reader *r, size_t len, const char **out)
{
	const unsigned char *p;

	if (len > r->len - r->at || take(r, len + 1, &p) < 0 || p[len] != '\0')
		return -EBADMSG;
	*out = (const char *)p;
	return 0;
}

static int map_memfd(int fd, size_t len, struct ipc_bytes *out)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_size < 0 || (uint64_t)st.st_size != len || len == 0)
		return -EBADMSG;
	/* One byte more than the file: the rest of the last page reads as zero, a full last page gets one more page. */
	size_t page = 4096, room = (len / page + 1) * page;
	void *base = mmap(NULL, room, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return -ENOMEM;
	if (mmap(base, len, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0) == MAP_FAILED) {
		munmap(base, room);
		return -ENOMEM;
	}
	*out = (struct ipc_bytes){.data = base, .len = len, .mapped = true};
	return 0;
}

static void unmap(struct ipc_bytes *b)
{
	if (b->mapped)
		munmap((void *)(uintptr_t)b->data, (b->len / 4096 + 1) * 4096);
	b->data = NULL;
	b->mapped = false;
}

static int decode_text(const struct ipc_message *m, const struct ipc_field *f, struct reader *r, const char **out,
		       struct err *e)
{
	uint64_t len;

	if (take_uint(r, 4, &len) < 0)
		return bad(e, m, f, "cut short");
	if (len == ABSENT)
		return check_absent(m, f, e);
	if (take_terminated(r, len, out) < 0)
		return bad(e, m, f, "cut short or not terminated");
	return check_text(m, f, *out, len, e);
}

static int decode_bytes(const struct ipc_message *m, const struct ipc_field *f, struct reader *r, struct ipc_bytes *out,
			struct err *e)
{
	uint64_t len, where;

	if (take_uint(r, 4, &len) < 0)
		return bad(e, m, f, "cut short");
	if (len == ABSENT)
		return check_absent(m, f, e);
	if (len > f->max)
		return bad(e, m, f, "too long");
	if (take_uint(r, 1, &where) < 0)
		return bad(e, m, f, "cut short");
	if (where == IN_PACKET) {
		out->len = len;
		return take_terminated(r, len, &out->data) < 0 ? bad(e, m, f, "cut short or not terminated") : 0;
	}
	if (where != IN_MEMFD || r->next_fd == r->nfds)
		return bad(e, m, f, "no memfd came with it");
	int fd = r->fds[r->next_fd++];
	int rc = fd_check(fd, FD_MEMFD, e);
	if (rc == 0)
		rc = map_memfd(fd, len, out);
	return rc == 0	       ? 0
	       : rc == -ENOMEM ? bad(e, m, f, "there is no memory to map it")
			       : bad(e, m, f, "its memfd is not sealed or of another size");
}

static int decode_fd(const struct ipc_message *m, const struct ipc_field *f, struct reader *r, int *out, struct err *e)
{
	uint64_t present;

	if (take_uint(r, 1, &present) < 0)
		return bad(e, m, f, "cut short");
	if (present > 1)
		return bad(e, m, f, "neither present nor absent");
	if (!present)
		return check_absent(m, f, e);
	if (r->next_fd == r->nfds)
		return bad(e, m, f, "no descriptor came with it");
	int fd = r->fds[r->next_fd++];
	if (fd_check(fd, (enum fd_kind)f->rule, e) < 0)
		return err_prefix(e, "%s.%s", m->name, f->name);
	*out = fd;
	return 0;
}

static int decode_integer(const struct ipc_message *m, const struct ipc_field *f, struct reader *r, void *at,
			  struct err *e)
{
	static const size_t sizes[] = {[T_BOOL] = 1, [T_U32] = 4, [T_U64] = 8, [T_I64] = 8};
	uint64_t v;

	if (take_uint(r, sizes[f->type], &v) < 0)
		return bad(e, m, f, "cut short");
	if (f->type == T_I64) {
		*(int64_t *)at = (int64_t)v;
		return check_signed(m, f, (int64_t)v, e);
	}
	if (f->type == T_BOOL && v > 1)
		return bad(e, m, f, "neither true nor false");
	if (f->type == T_BOOL)
		*(bool *)at = v != 0;
	else if (f->type == T_U32)
		*(uint32_t *)at = (uint32_t)v;
	else
		*(uint64_t *)at = v;
	return check_number(m, f, v, e);
}

static int decode_field(const struct ipc_message *m, const struct ipc_field *f, struct reader *r, void *msg,
			struct err *e)
{
	void *at = member(msg, f);

	switch (f->type) {
	case T_BOOL:
	case T_U32:
	case T_U64:
	case T_I64:
		return decode_integer(m, f, r, at, e);
	case T_STR:
		return decode_text(m, f, r, at, e);
	case T_BYTES:
		return decode_bytes(m, f, r, at, e);
	case T_DOC:
		return decode_bytes(m, f, r, &((struct ipc_doc *)at)->raw, e);
	case T_FD:
		return decode_fd(m, f, r, at, e);
	}
	return bad(e, m, f, "unknown type");
}

/* Descriptors of memfds have served once they are mapped; the others now belong to the message. */
static void close_unclaimed(const struct ipc_message *m, const void *msg, const int *fds, size_t nfds)
{
	for (size_t i = 0; i < nfds; i++) {
		bool claimed = false;
		for (size_t k = 0; k < m->nfields && !claimed; k++)
			claimed = m->fields[k].type == T_FD && *(const int *)member_const(msg, &m->fields[k]) == fds[i];
		if (!claimed)
			close(fds[i]);
	}
}

static void init_members(const struct ipc_message *m, void *msg)
{
	memset(msg, 0, m->size);
	for (size_t i = 0; i < m->nfields; i++) {
		const struct ipc_field *f = &m->fields[i];
		if (f->type == T_FD)
			*(int *)member(msg, f) = -1;
		else if (f->type == T_BOOL)
			*(bool *)member(msg, f) = f->def != 0;
		else if (f->type == T_I64)
			*(int64_t *)member(msg, f) = f->def;
	}
}

int ipc_decode(const struct ipc_message *m, const unsigned char *bytes, size_t len, const int *fds, size_t nfds,
	       void *msg, struct err *e)
{
	struct reader r = {.bytes = bytes, .len = len, .fds = fds, .nfds = nfds};
	int result = 0;

	init_members(m, msg);
	for (size_t i = 0; i < m->nfields && result == 0; i++)
		result = decode_field(m, &m->fields[i], &r, msg, e);
	if (result == 0 && r.at != len)
		result = err_set(e, -EBADMSG, "%s: %zu bytes behind its end", m->name, len - r.at);
	if (result == 0 && r.next_fd != nfds)
		result = err_set(e, -EBADMSG, "%s: %zu descriptors too many", m->name, nfds - r.next_fd);
	close_unclaimed(m, msg, fds, nfds);
	if (result < 0)
		ipc_release(m, msg);
	return result == 0 ? 0 : -EBADMSG;
}

void ipc_release(const struct ipc_message *m, void *msg)
{
	for (size_t i = 0; i < m->nfields; i++) {
		const struct ipc_field *f = &m->fields[i];
		if (f->type == T_FD)
			fd_close(member(msg, f));
		else if (f->type == T_BYTES)
			unmap(member(msg, f));
		else if (f->type == T_DOC)
			unmap(&((struct ipc_doc *)member(msg, f))->raw);
	}
}

void ipc_init(uint16_t number, void *msg)
{
	const struct ipc_message *m = ipc_message(number);

	if (m)
		init_members(m, msg);
}
