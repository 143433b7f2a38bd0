/*
 * codec: message structs to bytes and descriptors and back, by walking the field rows.
 *
 * Wire form, all integers little-endian, fields in the order of their rows:
 *   BOOL u8 (0, 1) · U32 u32 · U64 u64 · I64 i64
 *   STR u32 length (0xffffffff: absent), the bytes, one NUL
 *   BYTES, DOC u32 length (0xffffffff: absent), u8 where; 0: the bytes and one NUL follow; 1: they are in the next
 *   descriptor, a sealed memfd
 *   FD u8 present; 1: the next descriptor
 * The decoder is total: every length, range, grammar, descriptor kind and the exact end are checked.
 * libc only; JSON is handled by ipc/doc.h.
 */
#ifndef POUCH_IPC_CODEC_H
#define POUCH_IPC_CODEC_H

#include "ipc/message.h"

#define IPC_MESSAGE_MAX (64u << 10) /* bytes of one packet, header included */
#define IPC_FDS_MAX	16	    /* descriptors of one packet */

/* What a packet carries. The descriptors are borrowed, but for memfds made here (bit i of `own`). */
struct ipc_packet {
	unsigned char *bytes; /* buffer of the caller's, IPC_MESSAGE_MAX long */
	size_t len;
	int fds[IPC_FDS_MAX];
	size_t nfds;
	uint32_t own;
};

/* Close what ipc_encode() made itself. */
void ipc_packet_clean(struct ipc_packet *p);

/*
 * Append the fields of `msg` (a struct of type m->name) to p->bytes behind p->len.
 * Checks ranges and grammars as the decoder does, so that a bug of ours shows at the sender.
 * Documents must have `raw` set (ipc_docs_prepare()). -EINVAL, -EMSGSIZE, -EBADF.
 */
int ipc_encode(const struct ipc_message *m, const void *msg, struct ipc_packet *p, struct err *e);

/*
 * Decode `len` bytes and `nfds` descriptors into the zeroed struct `msg`. Strings and inline bytes point into
 * `bytes`, which must outlive `msg`. On success the descriptors belong to `msg`; on failure all are closed.
 * -EBADMSG with the message, field and reason.
 */
int ipc_decode(const struct ipc_message *m, const unsigned char *bytes, size_t len, const int *fds, size_t nfds,
	       void *msg, struct err *e);

/* Close descriptors that nobody took (took = set to -1), unmap memfds, drop JSON. Does not free `msg` itself. */
void ipc_release(const struct ipc_message *m, void *msg);

/* A zeroed struct with descriptors at -1 and defaults in place; for senders: struct x m; ipc_init(IPC_x, &m). */
void ipc_init(uint16_t number, void *msg);

#endif
