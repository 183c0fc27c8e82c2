/*
 * Names of hosts resolved off the loop: getaddrinfo runs in a thread of its
 * own, the answer comes as a callback. libpq and hiredis block in name lookups
 * otherwise.
 */
#ifndef COMMON_RESOLVE_H
#define COMMON_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct resolve;

enum { RESOLVE_ADDRESSES = 8 }; /* of one name, at most */

/* Whether `host` is a name: no path, no numeric address, not empty. */
bool resolve_needed(const char *host);

/* The addresses in numbers, as the resolver prefers them, valid during the
 * call; none: `reason` says why. The lookup is over: nothing to cancel. */
typedef void resolve_cb(const char *const *addresses, size_t count,
    const char *reason, void *argument);

/* Never calls back before it returned. No time limit of its own: the owner
 * cancels. NULL when too many lookups hang already or a thread is refused. */
struct resolve *resolve_start(struct event_base *base, const char *host,
    resolve_cb *on_done, void *argument);

/* Forgets the lookup; its thread ends by itself. NULL ok; returns NULL. */
struct resolve *resolve_cancel(struct resolve *resolve);

#endif
