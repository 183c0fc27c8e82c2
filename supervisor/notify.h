/*
 * What systemd is told: datagrams to NOTIFY_SOCKET. Without one, all of this
 * does nothing. Never blocks: what the socket does not take is sent again
 * shortly after, in order.
 */
#ifndef SUPERVISOR_NOTIFY_H
#define SUPERVISOR_NOTIFY_H

#include <stdint.h>

struct event_base;
struct notify;

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment.
 * Starts pinging the watchdog if there is one, at half its time. */
struct notify *notify_new(struct event_base *base);
struct notify *notify_free(struct notify *notify); /* NULL ok; NULL */

/* systemd's time limit for pings; 0: it does not watch. */
int64_t notify_watchdog_ms(const struct notify *notify);

void notify_ready(struct notify *notify);
void notify_reloading(struct notify *notify);
void notify_stopping(struct notify *notify);
/* Starting or stopping goes on: another `ms`. */
void notify_extend(struct notify *notify, int64_t ms);
/* STATUS=; sent when it differs from the last. */
void notify_status(struct notify *notify, const char *status);

#endif
