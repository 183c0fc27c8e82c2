/* The sections that stand inside others. */
#include "common/config_keys.h"

enum { CONFIG_PROCESSES_LIMIT = 512 };

#define OWNER backoff_config
static const struct config_key backoff_keys[] = {
    {.name = "first",
	.type = &config_type_duration,
	AT(first_ms),
	.max = DAY,
	.fallback = "1s",
	IN_PLACE,
	.help = "The pause after the first failure."},
    {.name = "factor",
	.type = &config_type_decimal,
	AT(factor),
	.min = 1,
	.max = 100,
	.fallback = "2",
	IN_PLACE,
	.help = "Each pause is so many times the one before."},
    {.name = "max",
	.type = &config_type_duration,
	AT(max_ms),
	.max = 365 * DAY,
	.fallback = "1h",
	IN_PLACE,
	.help = "No pause is longer, but for its jitter."},
    {.name = "jitter",
	.type = &config_type_decimal,
	AT(jitter),
	.max = 1,
	.fallback = "0.2",
	IN_PLACE,
	.help = "Each pause is moved by up to this share of it, at random."},
};
static const struct config_section section_backoff = {
    KEYS(backoff_keys), sizeof(struct backoff_config)};
#undef OWNER

#define OWNER task_defaults
static const struct config_key limits_keys[] = {
    {.name = "timeout",
	.type = &config_type_duration,
	AT(timeout_ms),
	.min = 1,
	.max = 365 * DAY,
	.fallback = "10m",
	IN_PLACE,
	.help = "How long an attempt may run before it is cancelled."},
    {.name = "grace",
	.type = &config_type_duration,
	AT(grace_ms),
	.max = 60 * MINUTE,
	.fallback = "5s",
	IN_PLACE,
	.help = "The time between being told to end and being killed."},
    {.name = "max_attempts",
	.type = &config_type_integer,
	AT(max_attempts),
	.min = 1,
	.max = 1000,
	.fallback = "5",
	IN_PLACE,
	.help = "A task that failed so often has failed for good."},
    {.name = "backoff",
	.type = &config_type_section,
	AT(backoff),
	.section = &section_backoff,
	IN_PLACE,
	.help = "The pauses between attempts."},
};
const struct config_section config_section_limits = {
    KEYS(limits_keys), sizeof(struct task_defaults)};
#undef OWNER

#define OWNER processes_config
static const struct config_key processes_keys[] = {
    {.name = "min",
	.type = &config_type_integer,
	AT(min),
	.max = CONFIG_PROCESSES_LIMIT,
	IN_PLACE,
	.help = "So many are kept, even idle ones, once the first was "
		"needed; else none."},
    {.name = "max",
	.type = &config_type_integer,
	AT(max),
	.min = 1,
	.max = CONFIG_PROCESSES_LIMIT,
	IN_PLACE,
	.help = "Never more than so many, but for one that is about to take "
		"another's place; else one a worker."},
};
const struct config_section config_section_processes = {
    KEYS(processes_keys), sizeof(struct processes_config), "max"};
#undef OWNER

#define OWNER recycle_config
static const struct config_key recycle_keys[] = {
    {.name = "tasks",
	.type = &config_type_integer,
	AT(tasks),
	.min = 1,
	.max = 1000000000,
	IN_PLACE,
	.help = "After so many tasks."},
    {.name = "age",
	.type = &config_type_duration,
	AT(age_ms),
	.min = SECOND,
	.max = 365 * DAY,
	IN_PLACE,
	.help = "After so long."},
    {.name = "memory",
	.type = &config_type_size,
	AT(memory_bytes),
	.min = MEGA,
	.max = KILO * KILO * MEGA,
	IN_PLACE,
	.help = "When so much of its memory is resident; looked at once a "
		"second."},
};
const struct config_section config_section_recycle = {
    KEYS(recycle_keys), sizeof(struct recycle_config)};
#undef OWNER

#define OWNER sql_connections_config
static const struct config_key sql_connections_keys[] = {
    {.name = "size",
	.type = &config_type_integer,
	AT(size),
	.min = 1,
	.max = 100,
	.fallback = "2",
	IN_PLACE,
	.help = "So many stay open once they were needed."},
    {.name = "overflow",
	.type = &config_type_integer,
	AT(overflow),
	.max = 100,
	.fallback = "2",
	IN_PLACE,
	.help = "So many more are opened while all are busy, and closed when "
		"they rest."},
    {.name = "max_age",
	.type = &config_type_duration,
	AT(max_age_ms),
	.min = SECOND,
	.max = 365 * DAY,
	.fallback = "1h",
	IN_PLACE,
	.help = "An older one is replaced before its next call."},
    {.name = "check_after",
	.type = &config_type_duration,
	AT(check_after_ms),
	.max = DAY,
	.fallback = "30s",
	IN_PLACE,
	.help = "One that rested for so long is tried before it is used."},
};
const struct config_section config_section_sql_connections = {
    KEYS(sql_connections_keys), sizeof(struct sql_connections_config)};
#undef OWNER

#define OWNER rate_config
static const struct config_key rate_keys[] = {
    {.name = "rate",
	.type = &config_type_rate,
	AT(per_s),
	.min = 1 / 86400.0,
	.max = 1000000,
	IN_PLACE,
	.help = "So many starts a second, minute, hour or day."},
    {.name = "burst",
	.type = &config_type_integer,
	AT(burst),
	.min = 1,
	.max = 1000000,
	IN_PLACE,
	.help = "So many may start at once after a rest; else what the rate "
		"gives in a second, and at least 1."},
};
const struct config_section config_section_rate = {
    KEYS(rate_keys), sizeof(struct rate_config), "rate"};
#undef OWNER

#define OWNER queue_config
static const struct config_key queue_keys[] = {
    {.name = "concurrency",
	.type = &config_type_integer,
	AT(concurrency),
	.min = 1,
	.max = 8192,
	.fallback = "50",
	IN_PLACE,
	.help = "How many tasks of the queue run at a time in this instance; "
		"its workers share them."},
    {.name = "retention",
	.type = &config_type_duration,
	AT(retention_ms),
	.max = 3650 * DAY,
	.fallback = "7d",
	IN_PLACE,
	.help =
	    "How long finished tasks are kept. A flow is kept as a whole, by "
	    "the longest retention among its tasks and those of its maps "
	    "and nested flows, which have none of their own."},
    {.name = "max_running",
	.type = &config_type_integer,
	AT(max_running),
	.min = 1,
	.max = 1000000,
	IN_PLACE,
	.help = "How many tasks of the queue run at a time on all hosts of the "
		"database. Each should say the same; else the smallest "
		"counts, and a host that says nothing is not bound by it. A "
		"lowered limit ends no task."},
    {.name = "rate",
	.type = &config_type_section,
	AT(rate),
	.section = &config_section_rate,
	IN_PLACE,
	.help = "How many tasks of the queue start on all hosts of the "
		"database, such as 10/s, 100/m, 5/h or 1/d; or rate and burst. "
		"Where hosts differ the smallest counts."},
};
const struct config_section config_section_queue = {
    KEYS(queue_keys), sizeof(struct queue_config)};
#undef OWNER
