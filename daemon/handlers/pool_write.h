/*
 * What a worker says to a process of a pool: one JSON object a line, added to
 * what waits to be written. Large payloads and inputs are not copied.
 */
#ifndef DAEMON_HANDLERS_POOL_WRITE_H
#define DAEMON_HANDLERS_POOL_WRITE_H

#include <stddef.h>

#include "daemon/handlers/handler.h"

struct evbuffer;

/* More than this is referred to, less is copied. */
enum { POOL_COPY_BYTES = 2048 };

/* A task to run; its payload and inputs must stay until they were written or
 * the buffer is freed. False: the line would be longer than `limit` bytes, and
 * nothing was added. */
bool pool_write_run(struct evbuffer *buffer, const struct task *task,
    size_t limit) __attribute__((warn_unused_result));

void pool_write_cancel(struct evbuffer *buffer, const struct task *task,
    enum cancel_reason reason);

void pool_write_drain(struct evbuffer *buffer);

#endif
