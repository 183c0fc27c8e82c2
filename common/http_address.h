/* http: which addresses a handler may not reach unless it is allowed to. */
#ifndef COMMON_HTTP_ADDRESS_H
#define COMMON_HTTP_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/*
 * Whether an address is for anything but the public internet: private,
 * loopback, link-local, multicast, reserved; by the IPv4 address in it too
 * where IPv6 carries one (mapped, compatible, NAT64, 6to4). What is neither
 * IPv4 nor IPv6 is not public.
 */
bool http_address_is_public(const struct sockaddr *address);

enum { HTTP_ADDRESS_TEXT = 64 };
/* In numbers, for a message. */
void http_address_format(
    const struct sockaddr *address, char text[HTTP_ADDRESS_TEXT]);

#endif
