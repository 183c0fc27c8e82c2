/*
 * Which limit of its handler ended a program, in words for its task's error.
 */
#ifndef DAEMON_HANDLERS_LIMITS_H
#define DAEMON_HANDLERS_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/text.h"

struct handler_config;

/* When a process gets SIGXCPU, and when SIGKILL; has a `cpu_time`. */
int64_t limits_cpu_time_s(const struct handler_config *config);
int64_t limits_cpu_time_kill_s(const struct handler_config *config);

/* What a program's processes held when they were killed for it. */
void limits_say_memory(const struct handler_config *config, int64_t held_bytes,
    struct text *ret_text);

/* False, and no text: a program that ended like this did not break `cpu_time`.
 * `code` and `status` as waitid gives them, `cpu_ms` with what its children
 * used that it waited for. */
bool limits_say_cpu_time(const struct handler_config *config, int code,
    int status, int64_t cpu_ms, struct text *ret_text);

#endif
