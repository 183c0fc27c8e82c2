#include "common/http_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The registries of special-purpose addresses (RFC 6890) and what has been
 * added to them since, as far as it is not globally reachable. */
static const struct range4 {
	uint32_t first;
	int bits;
} ranges4[] = {
    {0x00000000, 8},  /* 0.0.0.0/8 "this network": 0.0.0.0 is this host */
    {0x0a000000, 8},  /* 10.0.0.0/8 */
    {0x64400000, 10}, /* 100.64.0.0/10 carrier-grade NAT */
    {0x7f000000, 8},  /* 127.0.0.0/8 */
    {0xa9fe0000, 16}, /* 169.254.0.0/16 link-local */
    {0xac100000, 12}, /* 172.16.0.0/12 */
    {0xc0000000, 24}, /* 192.0.0.0/24 protocol assignments */
    {0xc0000200, 24}, /* 192.0.2.0/24 documentation */
    {0xc0a80000, 16}, /* 192.168.0.0/16 */
    {0xc6120000, 15}, /* 198.18.0.0/15 benchmarks */
    {0xc6336400, 24}, /* 198.51.100.0/24 documentation */
    {0xcb007100, 24}, /* 203.0.113.0/24 documentation */
    {0xe0000000, 4},  /* 224.0.0.0/4 multicast */
    {0xf0000000, 4},  /* 240.0.0.0/4 reserved, broadcast */
};

static const struct range6 {
	uint8_t first[16];
	int bits;
} ranges6[] = {
    {{0}, 128},				     /* :: */
    {{[15] = 1}, 128},			     /* ::1 */
    {{0x00, 0x64, 0xff, 0x9b, 0x00, 1}, 48}, /* 64:ff9b:1::/48 local NAT64 */
    {{0x01, 0x00}, 64},			     /* 100::/64 discard */
    {{0x20, 0x01, 0x0d, 0xb8}, 32},	     /* 2001:db8::/32 documentation */
    {{0xfc}, 7},			     /* fc00::/7 unique local */
    {{0xfe, 0x80}, 10},			     /* fe80::/10 link-local */
    {{0xfe, 0xc0}, 10},			     /* fec0::/10 site-local */
    {{0xff}, 8},			     /* ff00::/8 multicast */
};

/* Where an IPv6 address carries one of IPv4: the prefix, and its place. */
static const struct carrier {
	uint8_t first[16];
	int bits, at;
} carriers[] = {
    {{0}, 96, 12},			  /* ::a.b.c.d */
    {{[10] = 0xff, [11] = 0xff}, 96, 12}, /* ::ffff:a.b.c.d */
    {{[8] = 0xff, [9] = 0xff}, 96, 12},	  /* ::ffff:0:a.b.c.d */
    {{0x00, 0x64, 0xff, 0x9b}, 96, 12},	  /* 64:ff9b::a.b.c.d */
    {{0x20, 0x02}, 16, 2},		  /* 2002:a.b.c.d:: */
};

static bool
is_public4(uint32_t address)
{
	for (size_t i = 0; i < sizeof(ranges4) / sizeof(ranges4[0]); i++)
		if ((address ^ ranges4[i].first) >> (32 - ranges4[i].bits) == 0)
			return false;
	return true;
}

static bool
begins_with(const uint8_t *address, const uint8_t *first, int bits)
{
	size_t bytes = (size_t)bits / 8;
	int rest = bits % 8;

	return memcmp(address, first, bytes) == 0 &&
	       (rest == 0 ||
		   (address[bytes] ^ first[bytes]) >> (8 - rest) == 0);
}

static bool
is_public6(const uint8_t *address)
{
	for (size_t i = 0; i < sizeof(ranges6) / sizeof(ranges6[0]); i++)
		if (begins_with(address, ranges6[i].first, ranges6[i].bits))
			return false;
	for (size_t i = 0; i < sizeof(carriers) / sizeof(carriers[0]); i++) {
		uint32_t inner;

		if (!begins_with(address, carriers[i].first, carriers[i].bits))
			continue;
		memcpy(&inner, address + carriers[i].at, sizeof(inner));
		return is_public4(ntohl(inner));
	}
	return true;
}

bool
http_address_is_public(const struct sockaddr *address)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	switch (address->sa_family) {
	case AF_INET:
		memcpy(&v4, address, sizeof(v4));
		return is_public4(ntohl(v4.sin_addr.s_addr));
	case AF_INET6:
		memcpy(&v6, address, sizeof(v6));
		return is_public6(v6.sin6_addr.s6_addr);
	default:
		return false;
	}
}

void
http_address_format(
    const struct sockaddr *address, char text[HTTP_ADDRESS_TEXT])
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	(void)snprintf(text, HTTP_ADDRESS_TEXT, "an address of family %d",
	    address->sa_family);
	if (address->sa_family == AF_INET) {
		memcpy(&v4, address, sizeof(v4));
		(void)inet_ntop(AF_INET, &v4.sin_addr, text, HTTP_ADDRESS_TEXT);
	} else if (address->sa_family == AF_INET6) {
		memcpy(&v6, address, sizeof(v6));
		(void)inet_ntop(
		    AF_INET6, &v6.sin6_addr, text, HTTP_ADDRESS_TEXT);
	}
}
