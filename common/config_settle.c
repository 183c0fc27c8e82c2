/*
 * What follows from all keys together: handlers take over the defaults, the
 * queue "default" exists, lists are sorted; and what can be wrong only then.
 */
#include <stdlib.h>
#include <string.h>

#include "common/config_load.h"
#include "common/scoreboard.h"

enum {
	ROUTES_LIMIT = 10000,
	START_TIMEOUT_MS = 60 * 1000,
	IDLE_TIMEOUT_MS = 5 * 60 * 1000,
	PLUGIN_THREADS = 4,
};

/* Whether anything in a queue or handler was reported already. */
static bool
is_broken(
    const struct config_loader *loader, const void *items, const char *name)
{
	for (size_t i = 0; i < loader->place_count; i++) {
		const struct config_place *place = &loader->places[i];

		if (place->broken && strcmp(place->name, name) == 0 &&
		    config_field_const(place->key, loader->config) == items)
			return true;
	}
	return false;
}

/* The last place that named a queue or handler, else the start of the file. */
static const struct yaml_node *
place_of(
    const struct config_loader *loader, const void *items, const char *name)
{
	const struct yaml_node *found = loader->root;

	for (size_t i = 0; i < loader->place_count; i++) {
		const struct config_place *place = &loader->places[i];

		if (strcmp(place->name, name) == 0 &&
		    config_field_const(place->key, loader->config) == items)
			found = place->node;
	}
	return found;
}

/* Its member, to point at more exactly. */
static const struct yaml_node *
member_or_self(const struct yaml_node *node, const char *key)
{
	const struct yaml_node *member = yaml_member(node, key);

	return member == NULL ? node : member;
}

static void
take_over(const struct config_section *section, void *into, const void *from)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct config_key *key = &section->keys[i];

		if (key->type->storage == STORE_SECTION)
			take_over(key->section, config_field(key, into),
			    config_field_const(key, from));
		else if (!config_is_set(key, into))
			config_number_set(key, into, config_number(key, from));
	}
}

static void
check_backoff(struct config_loader *loader,
    const struct backoff_config *backoff, const struct yaml_node *place)
{
	if (backoff->first_ms > backoff->max_ms)
		config_complain_key(loader, member_or_self(place, "backoff"),
		    "backoff: first is longer than max");
}

/* How many of exec, pool, http, sql, plugin and noop it has; sets its type. */
static int
count_types(struct handler_config *handler)
{
	int count =
	    (handler->argv != NULL) + (handler->pool != NULL) +
	    (handler->url != NULL) + (handler->function != NULL) +
	    (handler->plugin != NULL) +
	    (handler->type == HANDLER_NOOP || handler->type == HANDLER_SLEEP);

	if (handler->function != NULL)
		handler->type = HANDLER_SQL;
	else if (handler->pool != NULL)
		handler->type = HANDLER_POOL;
	else if (handler->argv != NULL)
		handler->type = HANDLER_EXEC;
	else if (handler->url != NULL)
		handler->type = HANDLER_HTTP;
	else if (handler->plugin != NULL)
		handler->type = HANDLER_PLUGIN;
	return count;
}

static void
check_only_for(struct config_loader *loader, const struct yaml_node *place,
    const char *key, const char *type, bool wrong)
{
	if (wrong)
		config_complain_key(loader, member_or_self(place, key),
		    "%s: only a handler with %s has it", key, type);
}

/* What only a handler has that starts programs. */
static void
check_no_program_keys(struct config_loader *loader,
    const struct handler_config *handler, const struct yaml_node *place)
{
	static const char *const names[] = {"working_directory", "environment",
	    "memory_max", "cpu_max", "pids_max", "cpu_time", "open_files",
	    "core", "umask", "nice"};
	void *base = loader->config;
	const struct config_section *section =
	    config_find_key(&config_section_top, "handlers", base, &base)
		->section;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct config_key *key = config_find_key(
		    section, names[i], (void *)(uintptr_t)handler, &base);

		check_only_for(loader, place, names[i], "exec or pool",
		    config_is_set(key, handler));
	}
}

static void
check_pool(struct config_loader *loader, const struct handler_config *handler,
    const struct yaml_node *place)
{
	const struct processes_config *processes = &handler->processes;
	const struct recycle_config *recycle = &handler->recycle;
	bool pool = handler->pool != NULL;

	check_only_for(loader, place, "processes", "pool",
	    !pool && (processes->min >= 0 || processes->max >= 0));
	check_only_for(loader, place, "start_timeout", "pool",
	    !pool && handler->start_timeout_ms >= 0);
	check_only_for(loader, place, "idle_timeout", "pool",
	    !pool && handler->idle_timeout_ms >= 0);
	check_only_for(loader, place, "recycle", "pool",
	    !pool && (recycle->tasks >= 0 || recycle->age_ms >= 0 ||
			 recycle->memory_bytes >= 0));
	if (pool && processes->min > processes->max)
		config_complain_key(loader, member_or_self(place, "processes"),
		    "processes: min is more than max");
}

static void
check_http_keys(struct config_loader *loader,
    const struct handler_config *handler, const struct yaml_node *place)
{
	bool http = handler->url != NULL;

	check_only_for(loader, place, "headers", "http",
	    handler->headers != NULL && !http);
	check_only_for(loader, place, "ca_file", "http",
	    handler->ca_file != NULL && !http);
	check_only_for(loader, place, "connect_timeout", "http",
	    handler->connect_timeout_ms >= 0 && !http);
	check_only_for(loader, place, "allow_private", "http",
	    handler->allow_private >= 0 && !http);
}

static void
check_sql_keys(struct config_loader *loader,
    const struct handler_config *handler, const struct yaml_node *place)
{
	bool sql = handler->function != NULL;

	check_only_for(
	    loader, place, "role", "sql", handler->role != NULL && !sql);
	check_only_for(loader, place, "share_transaction", "sql",
	    handler->share_transaction > 0 && !sql);
}

static void
check_plugin_keys(struct config_loader *loader,
    const struct handler_config *handler, const struct yaml_node *place)
{
	bool plugin = handler->plugin != NULL;

	check_only_for(loader, place, "threads", "plugin",
	    handler->threads > 0 && !plugin);
	check_only_for(loader, place, "queue_limit", "plugin",
	    handler->queue_limit >= 0 && !plugin);
}

static void
check_handler(struct config_loader *loader,
    const struct handler_config *handler, int types,
    const struct yaml_node *place)
{
	bool program = handler->argv != NULL || handler->pool != NULL;

	if (types != 1)
		config_complain_key(loader, place,
		    "handler '%s' needs exactly one of exec, pool, http, sql, "
		    "plugin and noop",
		    handler->kind);
	check_sql_keys(loader, handler, place);
	check_plugin_keys(loader, handler, place);
	check_pool(loader, handler, place);
	check_http_keys(loader, handler, place);
	if (!program)
		check_no_program_keys(loader, handler, place);
	check_only_for(loader, place, "cpu_time", "exec",
	    handler->cpu_time_ms > 0 && handler->pool != NULL);
	check_backoff(loader, &handler->limits.backoff, place);
}

static int64_t
given_or(int64_t number, int64_t otherwise)
{
	return number < 0 ? otherwise : number;
}

static void
settle_pool(const struct config *config, struct handler_config *handler)
{
	struct processes_config *processes = &handler->processes;
	struct recycle_config *recycle = &handler->recycle;

	processes->min = (int)given_or(processes->min, 0);
	if (processes->max < 0)
		processes->max = processes->min > config->workers
				     ? processes->min
				     : config->workers;
	handler->start_timeout_ms =
	    given_or(handler->start_timeout_ms, START_TIMEOUT_MS);
	handler->idle_timeout_ms =
	    given_or(handler->idle_timeout_ms, IDLE_TIMEOUT_MS);
	recycle->tasks = (int)given_or(recycle->tasks, 0);
	recycle->age_ms = given_or(recycle->age_ms, 0);
	recycle->memory_bytes = given_or(recycle->memory_bytes, 0);
}

static void
settle_limits(struct config_loader *loader, int *max_running,
    struct rate_config *rate, const struct yaml_node *place)
{
	if (*max_running < 0)
		*max_running = 0;
	if (rate->per_s <= 0) {
		if (rate->burst > 0)
			config_complain_key(loader,
			    member_or_self(place, "rate"),
			    "rate: burst without a rate");
		*rate = (struct rate_config){0};
	} else if (rate->burst < 1) {
		rate->burst = rate->per_s > 1 ? (int)rate->per_s : 1;
	}
}

static void
settle_queue(struct config_loader *loader, struct queue_config *queue)
{
	settle_limits(loader, &queue->max_running, &queue->rate,
	    place_of(loader, &loader->config->queues, queue->name));
}

static void
settle_handler(struct config_loader *loader, struct handler_config *handler)
{
	const void *handlers = &loader->config->handlers;
	int types = count_types(handler);

	if (handler->concurrency < 0)
		handler->concurrency = 0;
	if (handler->share_transaction < 0)
		handler->share_transaction = 0;
	if (handler->pool != NULL)
		settle_pool(loader->config, handler);
	take_over(&config_section_limits, &handler->limits,
	    &loader->config->defaults);
	settle_limits(loader, &handler->max_running, &handler->rate,
	    place_of(loader, handlers, handler->kind));
	if (!is_broken(loader, handlers, handler->kind))
		check_handler(loader, handler, types,
		    place_of(loader, handlers, handler->kind));
	if (handler->type == HANDLER_PLUGIN && handler->threads < 1)
		handler->threads = PLUGIN_THREADS;
	if (handler->type == HANDLER_PLUGIN && handler->queue_limit < 0)
		handler->queue_limit = 0;
}

static void
check_schedule(
    struct config_loader *loader, const struct schedule_config *schedule)
{
	const void *schedules = &loader->config->schedules;
	const struct yaml_node *place =
	    place_of(loader, schedules, schedule->name);

	if (is_broken(loader, schedules, schedule->name))
		return;
	if (schedule->kind == NULL)
		config_complain_key(loader, place, "schedule '%s' needs a kind",
		    schedule->name);
	if ((schedule->every_ms < 0) == (schedule->cron == NULL))
		config_complain_key(loader, place,
		    "schedule '%s' needs either every or cron", schedule->name);
}

static void
need_default_queue(struct config *config)
{
	void *base = config, *inner;
	const struct config_key *key =
	    config_find_key(&config_section_top, "queues", base, &inner);
	void *queue;

	for (size_t i = 0; i < config->queue_count; i++)
		if (strcmp(config->queues[i].name, "default") == 0)
			return;
	queue = config_item_add(key, config, "default");
	config_section_defaults(key->section, queue);
}

/* A worker must have room in its scoreboard for all it may run. */
static void
check_concurrency(struct config_loader *loader)
{
	const struct config *config = loader->config;
	int64_t sum = 0;

	for (size_t i = 0; i < config->queue_count; i++) {
		const struct queue_config *queue = &config->queues[i];
		const struct yaml_node *place =
		    place_of(loader, &config->queues, queue->name);

		sum += (queue->concurrency + config->workers - 1) /
		       config->workers;
		if (sum <= SCOREBOARD_SLOTS)
			continue;
		config_complain_key(loader,
		    member_or_self(place, "concurrency"),
		    "concurrency: with this queue a worker may run %lld tasks "
		    "at a time, more than %d; lower it or raise workers",
		    (long long)sum, SCOREBOARD_SLOTS);
		return;
	}
}

/* A worker tells PostgreSQL of every pair of a queue and a kind it serves. */
static void
check_routes(struct config_loader *loader)
{
	const struct config *config = loader->config;
	size_t routes = config->queue_count * config->handler_count;

	if (routes > ROUTES_LIMIT)
		config_complain_key(loader,
		    member_or_self(loader->root, "handlers"),
		    "handlers: %zu with %zu queues are %zu pairs, more than "
		    "%d; use several instances",
		    config->handler_count, config->queue_count, routes,
		    ROUTES_LIMIT);
}

static void
settle_trigger(struct config_loader *loader, struct trigger_config *trigger)
{
	const void *triggers = &loader->config->triggers;
	const struct yaml_node *place =
	    place_of(loader, triggers, trigger->name);

	if (trigger->burst < 1)
		trigger->burst = trigger->rate > 1 ? (int)trigger->rate : 1;
	if (is_broken(loader, triggers, trigger->name))
		return;
	if ((trigger->channel != NULL) == (trigger->pattern != NULL))
		config_complain_key(loader, place,
		    "trigger '%s' needs exactly one of channel and pattern",
		    trigger->name);
	if (trigger->kind == NULL)
		config_complain_key(loader, place,
		    "trigger '%s' needs the kind of its tasks", trigger->name);
}

static void
settle_triggers(struct config_loader *loader)
{
	struct config *config = loader->config;

	for (size_t i = 0; i < config->trigger_count; i++)
		settle_trigger(loader, &config->triggers[i]);
	if (config->trigger_count > 0 && config->redis == NULL)
		config_complain_key(loader,
		    member_or_self(loader->root, "triggers"),
		    "triggers: there is no redis to listen to; add a line such "
		    "as redis: unix:///run/redis/redis.sock");
}

static int
compare_items(const void *a, const void *b)
{
	return strcmp(config_item_name(a), config_item_name(b));
}

static void
sort_items(struct config *config)
{
	qsort(config->queues, config->queue_count, sizeof(config->queues[0]),
	    compare_items);
	if (config->handler_count > 0)
		qsort(config->handlers, config->handler_count,
		    sizeof(config->handlers[0]), compare_items);
	if (config->schedule_count > 0)
		qsort(config->schedules, config->schedule_count,
		    sizeof(config->schedules[0]), compare_items);
	if (config->trigger_count > 0)
		qsort(config->triggers, config->trigger_count,
		    sizeof(config->triggers[0]), compare_items);
}

static void
check_database(struct config_loader *loader, const char *file)
{
	struct error error;

	if (loader->config->database != NULL ||
	    (loader->root != NULL &&
		yaml_member(loader->root, "database") != NULL))
		return; /* what is wrong with it was said */
	error_set(&error, "no database is named: add a line such as "
			  "database: host=/run/postgresql dbname=app");
	error_place(&error, file, 1, 1);
	config_collect(&loader->collector,
	    loader->root == NULL ? NULL : loader->root->source, &error);
}

void
config_settle(struct config_loader *loader, const char *file)
{
	struct config *config = loader->config;

	need_default_queue(config);
	for (size_t i = 0; i < config->queue_count; i++)
		settle_queue(loader, &config->queues[i]);
	for (size_t i = 0; i < config->handler_count; i++)
		settle_handler(loader, &config->handlers[i]);
	for (size_t i = 0; i < config->schedule_count; i++)
		check_schedule(loader, &config->schedules[i]);
	settle_triggers(loader);
	sort_items(config);
	check_database(loader, file);
	check_concurrency(loader);
	check_routes(loader);
	if (loader->root != NULL)
		check_backoff(loader, &config->defaults.backoff,
		    member_or_self(loader->root, "defaults"));
}
