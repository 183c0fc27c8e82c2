#include "supervisor/status.h"

#include <inttypes.h>
#include <unistd.h>

#include "common/config.h"
#include "common/scoreboard.h"
#include "config.h"
#include "supervisor/child.h"
#include "supervisor/generation.h"
#include "supervisor/place.h"
#include "supervisor/supervisor.h"
#include "supervisor/verdict.h"

enum { TASKS_SHOWN = 1000 }; /* of a worker */

static const struct {
	const char *name;
	enum scoreboard_counter which;
} counters[] = {
    {"claimed", SCOREBOARD_CLAIMED},
    {"succeeded", SCOREBOARD_SUCCEEDED},
    {"failed", SCOREBOARD_FAILED},
    {"retried", SCOREBOARD_RETRIED},
    {"released", SCOREBOARD_RELEASED},
    {"fenced", SCOREBOARD_FENCED},
    {"turns", SCOREBOARD_TURNS},
    {"heartbeats", SCOREBOARD_HEARTBEATS},
    {"log_dropped", SCOREBOARD_LOG_DROPPED},
    {"streamed", SCOREBOARD_STREAMED},
    {"stream_dropped", SCOREBOARD_STREAM_DROPPED},
    {"events_refused", SCOREBOARD_EVENTS_REFUSED},
    {"events_published", SCOREBOARD_EVENTS_PUBLISHED},
    {"events_dropped", SCOREBOARD_EVENTS_DROPPED},
    {"triggered", SCOREBOARD_TRIGGERED},
    {"triggers_dropped", SCOREBOARD_TRIGGERS_DROPPED},
};

static int64_t
age_ms(struct mono since)
{
	return mono_ms_between(since, mono_now());
}

static void
add_tasks(const struct child *child, struct text *json)
{
	int64_t now_us = mono_now().us;
	int shown = 0;
	text_add_string(json, ",\"running\":[");
	for (int i = 0; i < SCOREBOARD_SLOTS && shown < TASKS_SHOWN; i++) {
		struct scoreboard_slot slot;
		bool torn;
		if (!scoreboard_slot(child->board, i, &slot, &torn))
			continue;
		text_addf(json,
		    "%s{\"task\":\"%" PRId64 "\",\"for_ms\":%" PRId64 "}",
		    shown++ > 0 ? "," : "", slot.task,
		    (now_us - slot.started_us) / 1000);
	}
	text_addf(json, "],\"running_total\":%d", child_tasks(child));
}

static void
add_pool(const struct scoreboard_pool *pool, struct text *json)
{
	int64_t now_us = mono_now().us;
	int64_t pause_us = pool->next_start_us - now_us;
	text_add_string(json, "{\"kind\":");
	answer_add_string(json, pool->kind);
	text_addf(json,
	    ",\"processes\":{\"max\":%u,\"starting\":%u,\"ready\":%u,"
	    "\"busy\":%u,\"ending\":%u},\"running\":%u,\"waiting\":%u,"
	    "\"started\":%u,\"crashed\":%u,\"failures\":%u,"
	    "\"next_start_ms\":",
	    pool->max, pool->starting, pool->ready, pool->busy, pool->ending,
	    pool->running, pool->waiting, pool->started, pool->crashed,
	    pool->failures);
	if (pool->next_start_us > 0)
		text_add_int(json, pause_us > 0 ? pause_us / 1000 : 0);
	else
		text_add_string(json, "null");
	text_add_string(json, ",\"error\":");
	if (pool->crashed == 0) {
		text_add_string(json, "null,\"error_ms\":null}");
		return;
	}
	answer_add_string(json, pool->error);
	text_addf(json, ",\"error_ms\":%" PRId64 "}",
	    (now_us - pool->crashed_us) / 1000);
}

static void
add_pools(const struct child *child, struct text *json)
{
	struct scoreboard_pool pool;
	text_add_string(json, ",\"pools\":[");
	for (int i = 0; i < SCOREBOARD_POOLS; i++) {
		if (!scoreboard_pool(child->board, i, &pool))
			continue;
		if (json->data[json->length - 1] != '[')
			text_add_char(json, ',');
		add_pool(&pool, json);
	}
	text_add_char(json, ']');
}

static void
add_counters(const struct child *child, struct text *json)
{
	const struct histogram *lag = scoreboard_lag_read(child->board);
	for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
		text_addf(json, ",\"%s\":%" PRIu64, counters[i].name,
		    scoreboard_counter(child->board, counters[i].which));
	text_addf(json,
	    ",\"lag_us\":{\"p50\":%" PRIu64 ",\"p99\":%" PRIu64
	    ",\"max\":%" PRIu64 "}",
	    histogram_percentile(lag, 0.5), histogram_percentile(lag, 0.99),
	    lag->max);
}

static void
add_child(const struct child *child, struct text *json)
{
	text_addf(json,
	    "\"pid\":%d,\"generation\":%" PRIu64
	    ",\"state\":\"%s\",\"restarts\":%d,\"uptime_ms\":%" PRId64
	    ",\"status\":",
	    (int)child->pid, child->taken, child_state_name(child),
	    child->place->restarts, age_ms(child->started));
	answer_add_string(json, child->status);
}

static void
add_worker(struct child *child, void *argument)
{
	struct text *json = argument;
	if (child->place->role != ROLE_WORKER)
		return;
	if (json->data[json->length - 1] != '[')
		text_add_char(json, ',');
	text_addf(json, "{\"slot\":%d,\"worker\":\"%" PRId64 "\",",
	    child->place->slot, child->worker_id);
	add_child(child, json);
	add_tasks(child, json);
	add_pools(child, json);
	add_counters(child, json);
	text_add_char(json, '}');
}

/* A slot whose worker is dead and whose next one is not started yet. */
static void
add_empty(const struct place *place, struct text *json)
{
	if (!place->wanted || !place_is_empty(place))
		return;
	if (json->data[json->length - 1] != '[')
		text_add_char(json, ',');
	text_addf(json,
	    "{\"slot\":%d,\"worker\":\"0\",\"pid\":null,"
	    "\"state\":\"back-off\",\"restarts\":%d,\"last\":",
	    place->slot, place->restarts);
	answer_add_string(json, place->last);
	text_add_string(
	    json, ",\"running\":[],\"running_total\":0,\"pools\":[]}");
}

static void
add_scheduler(const struct place *place, struct text *json)
{
	const struct child *child = place->serving;
	text_add_string(json, ",\"scheduler\":{");
	if (child) {
		add_child(child, json);
		add_counters(child, json);
	} else {
		text_addf(json,
		    "\"pid\":null,\"state\":\"back-off\",\"restarts\":%d",
		    place->restarts);
	}
	text_add_char(json, '}');
}

static void
add_config(const struct supervisor *supervisor, struct text *json)
{
	const struct generation *current = supervisor->current;
	text_addf(json, ",\"generation\":%" PRIu64 ",\"config\":{\"file\":",
	    current->number);
	answer_add_string(json, supervisor->config_file);
	text_addf(json, ",\"loaded_at\":%" PRId64 ".%06" PRId64 ",\"refused\":",
	    current->loaded_us / 1000000, current->loaded_us % 1000000);
	if (supervisor->reload.refused)
		answer_add_string(json, supervisor->reload.refused);
	else
		text_add_string(json, "null");
	text_add_char(json, '}');
}

void
status_json(struct supervisor *supervisor, struct text *ret_json)
{
	struct text sentence = TEXT_EMPTY;
	status_sentence(supervisor, &sentence);
	text_addf(ret_json,
	    "{\"ok\":true,\"version\":\"%s\",\"pid\":%ld,\"uptime_ms\":%" PRId64
	    ",\"state\":\"%s\",\"status\":",
	    PACKAGE_VERSION, (long)getpid(), age_ms(supervisor->started),
	    supervisor_state_name(supervisor));
	answer_add_string(ret_json, text_string(&sentence));
	add_config(supervisor, ret_json);
	add_scheduler(&supervisor->scheduler, ret_json);
	text_add_string(ret_json, ",\"workers\":[");
	places_each(supervisor, add_worker, ret_json);
	for (int slot = 0; slot < supervisor->worker_places; slot++)
		add_empty(supervisor->workers[slot], ret_json);
	text_add_string(ret_json, "]}");
	text_free(&sentence);
}
