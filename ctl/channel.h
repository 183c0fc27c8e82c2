/*
 * Events, and what running tasks tell, as it comes through Redis (the daemon's
 * side is daemon/event.h and daemon/worker/outbox.h). A Redis that is away is
 * tried again and again; what was told meanwhile is lost.
 */
#ifndef CTL_CHANNEL_H
#define CTL_CHANNEL_H

#include "ctl/ctl.h"
#include "common/json_member.h"

struct channel;

/* One message, a JSON object, of a task that is followed; an event has the
 * task 0. */
typedef void channel_message_cb(
    int64_t task, struct json_value message, void *argument);

/* By the configuration; nothing is connected yet. NULL: it names no Redis, or
 * there is none. */
struct channel *channel_new(
    struct ctl *ctl, channel_message_cb *on_message, void *argument);
struct channel *channel_free(struct channel *channel); /* returns NULL */

/* From now on, this task too. */
void channel_follow(struct channel *channel, int64_t task);

/* Called once, before channel_wait: events of these types, a glob. */
void channel_follow_events(struct channel *channel, const char *types);

/* Hands over what comes within so many milliseconds, and returns at the end of
 * that time, after a batch of messages, or when a signal came. With NULL it
 * only waits. */
void channel_wait(struct channel *channel, int64_t ms);

/* Adds the last progress of a task that runs, a JSON object, or nothing. */
void channel_last(struct channel *channel, int64_t task, struct text *ret_text);

#endif
