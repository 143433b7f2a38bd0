/*
 * packet: DNS messages (RFC 1035, EDNS of RFC 6891): a question taken apart, an answer put together. Nothing here
 * allocates or knows a name.
 */
#ifndef POUCH_NETD_DNS_PACKET_H
#define POUCH_NETD_DNS_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define PACKET_HEADER	 12
#define PACKET_NAME_MAX	 255
#define PACKET_UDP_MAX	 4096  /* of a question, or an answer of ours, by UDP */
#define PACKET_MAX	 65535 /* by TCP */
#define PACKET_UDP_PLAIN 512   /* an answer by UDP to who does not say more (EDNS) */
#define PACKET_TTL	 600

enum packet_type { TYPE_A = 1, TYPE_PTR = 12, TYPE_AAAA = 28, TYPE_OPT = 41, TYPE_ANY = 255 };
enum packet_class { CLASS_IN = 1, CLASS_ANY = 255 };
enum packet_rcode {
	RCODE_OK = 0,
	RCODE_FORMAT = 1,
	RCODE_SERVER_FAILURE = 2,
	RCODE_NO_NAME = 3,
	RCODE_NOT_IMPLEMENTED = 4,
	RCODE_REFUSED = 5,
	RCODE_BAD_VERSION = 16, /* of EDNS; its upper bits are in the OPT record */
};

struct packet_query {
	const uint8_t *bytes; /* the whole message; borrowed */
	size_t len;
	size_t end; /* of its question; 0 when that cannot be read */
	uint16_t type, class;
	/*
	 * In lower case, labels with dots between them, no final dot. "" for the root, and for a name with a byte in
	 * it that no name of ours can have.
	 */
	char name[PACKET_NAME_MAX + 1];
	bool edns;
	uint16_t room; /* what the asker takes by UDP */
};

/*
 * Take a question apart. RCODE_OK, or the code to answer it with; -EBADMSG when there is nothing to answer: it is too
 * short, or an answer itself.
 */
int packet_parse(const uint8_t *bytes, size_t len, struct packet_query *q);

/* Is `answer` an answer to this very question, with id `id`? */
bool packet_answers(const struct packet_query *q, uint16_t id, const uint8_t *answer, size_t len);
enum packet_rcode packet_rcode(const uint8_t *message);
void packet_set_id(uint8_t *message, uint16_t id);
uint16_t packet_id(const uint8_t *message);

struct packet_answer {
	uint8_t *bytes; /* the caller's, at least PACKET_UDP_PLAIN long */
	size_t len;
	size_t room; /* leaves place for the OPT record */
	unsigned count;
	bool truncated;
};

/* Header and question. `room`: most bytes that the answer may have. */
void packet_begin(struct packet_answer *a, const struct packet_query *q, uint8_t *bytes, size_t room);
/* One record more for the name asked; what has no room is left out, and the answer says so. */
void packet_add_address(struct packet_answer *a, sa_family_t family, const uint8_t *address);
void packet_add_ptr(struct packet_answer *a, const char *name);
void packet_finish(struct packet_answer *a, const struct packet_query *q, enum packet_rcode rcode);

/* The address that a name below in-addr.arpa or ip6.arpa stands for; false: none. `out` has room for 16 bytes. */
bool packet_reverse(const char *name, sa_family_t *family, uint8_t *out);

#endif
