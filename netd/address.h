/* address: IPv4 and IPv6 addresses and subnets as numbers. */
#ifndef POUCH_NETD_ADDRESS_H
#define POUCH_NETD_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESS_TEXT 64 /* room for "ffff:…/128" */

struct address {
	sa_family_t family; /* AF_INET, AF_INET6; 0: none */
	unsigned char bytes[16];
};

struct subnet {
	struct address address; /* as given: host bits may be set */
	unsigned prefix;
};

/* "10.0.0.1" or "fd00::1". false: it is neither. */
bool address_parse(const char *text, struct address *out);
/* "10.0.0.0/8". The prefix must be there. */
bool subnet_parse(const char *text, struct subnet *out);
/* Into buf, ADDRESS_TEXT long; "" for none. Returns buf. */
const char *address_text(const struct address *a, char *buf);
const char *subnet_text(const struct subnet *s, char *buf);

bool address_equal(const struct address *a, const struct address *b);
size_t address_size(const struct address *a);
/* With the host bits cleared. */
struct address subnet_base(const struct subnet *s);
bool subnet_contains(const struct subnet *s, const struct address *a);
bool subnet_overlaps(const struct subnet *a, const struct subnet *b);
/* The n-th address of the subnet; its base is the 0th. */
struct address subnet_at(const struct subnet *s, uint64_t n);
/* Which one it is. The address is in the subnet, and its number fits. */
uint64_t subnet_offset(const struct subnet *s, const struct address *a);
/* How many addresses there are; 1 << 63 when there are more. */
uint64_t subnet_count(const struct subnet *s);

#endif
