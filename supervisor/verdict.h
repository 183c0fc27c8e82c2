/*
 * Answers over the control socket that come from more than one place: errors,
 * and what came of a reload, for all who wait for it. `control` may be NULL:
 * nobody waits.
 */
#ifndef SUPERVISOR_VERDICT_H
#define SUPERVISOR_VERDICT_H

#include <stdint.h>

#include "common/config.h"

struct control;
struct control_client;

void verdict_accept(struct control *control, uint64_t ticket,
    uint64_t generation, const char *change);
void verdict_refuse(struct control *control, uint64_t ticket,
    const struct config_errors *errors);
/* No reload comes any more: the daemon stops. */
void verdict_stopping(struct control *control);

void answer_ok(struct control_client *client);
void answer_error(struct control_client *client, const char *sentence);

/* A JSON string of bytes that may be anything. */
void answer_add_string(struct text *json, const char *bytes);

#endif
