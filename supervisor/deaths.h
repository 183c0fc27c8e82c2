/*
 * Death reports: what a worker that died was running, kept until the scheduler
 * says that its rescue has committed, and told again to each new scheduler.
 */
#ifndef SUPERVISOR_DEATHS_H
#define SUPERVISOR_DEATHS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/procmsg.h"

struct deaths;
struct scoreboard;

struct deaths *deaths_new(void);
struct deaths *deaths_free(struct deaths *deaths); /* NULL ok; NULL */

/* Writes down what `board` shows; `death` gives the rest (its number, count
 * and started_known are filled in here). Returns the report's number. */
uint64_t deaths_add(struct deaths *deaths, const struct procmsg_death *death,
    const struct scoreboard *board);

/* Sends all that are kept, or one; a channel that fails loses nothing. */
void deaths_send_all(
    const struct deaths *deaths, struct procmsg_channel *channel);
void deaths_send(const struct deaths *deaths, uint64_t number,
    struct procmsg_channel *channel);

/* The rescue of this report has committed; unknown numbers are ignored. */
void deaths_acknowledge(struct deaths *deaths, uint64_t number);

int deaths_pending(const struct deaths *deaths);

#endif
