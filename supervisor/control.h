/*
 * The control socket: one JSON object a line in each direction. Knows about
 * sockets, lines, limits and who is at the other end; nothing about verbs.
 *
 * Bounded whatever clients do: at most 32 connections (a new one pushes out
 * the one that has been idle for longest), requests of at most 4 KiB, one
 * answer at a time, 10 s to send a request and to take an answer.
 */
#ifndef SUPERVISOR_CONTROL_H
#define SUPERVISOR_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/text.h"

struct control;
struct control_client;
struct event_base;

/* A whole line, without its end. Answers with control_answer or control_wait,
 * exactly once. */
typedef void control_cb(
    struct control_client *client, const char *line, void *argument);

/* Binds <runtime_dir>/control.sock; a stale one is unlinked: the caller holds
 * the lock of runtime_dir. NULL with `error` filled. */
struct control *control_new(struct event_base *base, const char *runtime_dir,
    control_cb *on_request, void *argument, struct error *error);
/* Sends what can be sent at once, unlinks. NULL ok; NULL. */
struct control *control_free(struct control *control);

/* One line; `json` without its end. */
void control_answer(struct control_client *client, const struct text *json);
/* The answer comes later: with control_answer_waiting for this ticket. */
void control_wait(struct control_client *client, uint64_t ticket);
/* To all who wait for a ticket up to this one. `control` may be NULL. */
void control_answer_waiting(
    struct control *control, uint64_t ticket, const struct text *json);

/* May this client change anything: root, the user of this process, and the
 * members of `admin_group` ((gid_t)-1: none). */
bool control_may_change(const struct control_client *client, gid_t admin_group);

#endif
