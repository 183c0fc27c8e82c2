/*
 * What every loop process (worker, scheduler) needs besides its work: the
 * event base, the channel to the supervisor with its common messages decoded,
 * and the tick that the watchdog sees, which measures the loop's lag too.
 *
 *	struct loop *loop = loop_new(start, &callbacks, self);
 *	... create connections and timers on loop_base(loop) ...
 *	int code = loop_run(loop);	returns after loop_stop
 *	... free them ...
 *	loop_free(loop);
 */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <stdint.h>

#include "common/child.h"
#include "common/config.h"
#include "common/procmsg.h"
#include "common/scoreboard.h"

struct event_base;
struct loop;

/* All are needed but on_message. None may free the loop. */
struct loop_callbacks {
	/* A new configuration of `generation`; owned by the callback, which
	 * calls loop_config_taken once it is used. */
	void (*on_config)(
	    struct config *config, uint64_t generation, void *argument);
	/* End: claim nothing, let running work go on for `cancel_ms`, be gone
	 * within `gone_ms`. May come again with shorter limits. */
	void (*on_drain)(int64_t cancel_ms, int64_t gone_ms, void *argument);
	void (*on_log_state)(void *argument);
	/* The supervisor is gone: drain by the configuration's limits. Called
	 * once; nothing can be sent any more. */
	void (*on_orphan)(const char *reason, void *argument);
	/* Any other message (descriptors as in procmsg.h). */
	void (*on_message)(const struct procmsg *message, void *argument);
};

/*
 * Makes the base and starts the channel (CHILD_FD_CHANNEL) and the tick. Takes
 * over start->scoreboard (and sets the field to NULL); the rest of `start`
 * stays the caller's. NULL when the kernel refuses a descriptor (logged).
 */
struct loop *loop_new(struct child_start *start,
    const struct loop_callbacks *callbacks, void *argument);
struct loop *loop_free(struct loop *loop); /* NULL ok; returns NULL */

struct event_base *loop_base(const struct loop *loop);
struct scoreboard *loop_scoreboard(const struct loop *loop);
uint64_t loop_generation(const struct loop *loop);

/* Runs callbacks until loop_stop; returns its code. */
int loop_run(struct loop *loop);
/* Ends loop_run after the callbacks that are due now, and once what was sent
 * to the supervisor has been written (waited for at most 1 s). */
void loop_stop(struct loop *loop, int exit_code);

/* A message to the supervisor with the current generation; lost without a
 * word when the supervisor is gone. */
void loop_send(
    struct loop *loop, enum procmsg_type type, const void *body, size_t size);
/* The configuration of `generation` is in use: messages bear it from now on,
 * and the supervisor is told. */
void loop_config_taken(struct loop *loop, uint64_t generation);
/* The text for `musterctl status`; sent when it differs from the last. */
void loop_status(struct loop *loop, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
