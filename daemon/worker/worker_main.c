#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "daemon/worker/host.h"
#include "daemon/worker/length.h"
#include "daemon/worker/programs.h"
#include "daemon/worker/sql_pool.h"
#include "daemon/worker/stream.h"
#include "daemon/worker/worker.h"

enum { EXIT_NO_LOOP = 1 };

static void
share_route(struct worker *worker, struct route *route)
{
	route->binding = worker_generation_binding(
	    TAILQ_FIRST(&worker->generations), route->shares.kind->name);
	route->shares.pool = NULL;
	if (route->binding != NULL &&
	    route->binding->config->type == HANDLER_SQL)
		route->shares.pool =
		    sql_pool_share(worker, route->binding->config);
}

static int
queue_concurrency(const struct worker *worker, const char *name)
{
	const struct queue_config *queue = config_queue(worker->config, name);

	return queue == NULL ? 0 : queue->concurrency;
}

static int
kind_concurrency(const struct worker *worker, const char *kind)
{
	const struct handler_config *handler =
	    config_handler(worker->config, kind);

	if (handler == NULL)
		return 0;
	return handler->concurrency == 0 ? SHARE_NO_LIMIT
					 : handler->concurrency;
}

/* Of those that the configuration does not know any more, too. */
static void
set_totals(struct worker *worker)
{
	const struct config *config = worker->config;
	const struct share_list *queues = &worker->queues;
	const struct share_list *kinds = &worker->kinds;

	for (size_t i = 0; i < config->queue_count; i++)
		(void)share_list_get_queue(
		    &worker->queues, config->queues[i].name);
	for (size_t i = 0; i < config->handler_count; i++)
		(void)share_list_get(&worker->kinds, config->handlers[i].kind);
	for (int i = 0; i < queues->count; i++)
		share_set_total(queues->items[i],
		    queue_concurrency(worker, queues->items[i]->name));
	for (int i = 0; i < kinds->count; i++)
		share_set_total(kinds->items[i],
		    kind_concurrency(worker, kinds->items[i]->name));
}

static void
share_out(const struct worker *worker, const struct share_list *list)
{
	for (int i = 0; i < list->count; i++)
		share_set_limit(
		    list->items[i], worker->config->workers, worker->slot);
}

void
worker_share_out(struct worker *worker)
{
	sql_pool_set_limits(worker);
	others_look(worker);
	share_out(worker, &worker->queues);
	share_out(worker, &worker->kinds);
	others_forget(worker);
	for (int i = 0; i < worker->kinds.count; i++)
		share_cap(worker->kinds.items[i],
		    host_capacity(worker, worker->kinds.items[i]->name));
	for (int i = 0; i < worker->routes.count; i++)
		share_route(worker, worker->routes.items[i]);
}

void
worker_configure(
    struct worker *worker, struct config *config, uint64_t generation)
{
	struct handler_host host;

	host_describe(worker, &host);
	worker->config = config;
	worker->generation = generation;
	(void)worker_generation_add(&worker->generations, config, &host);
	log_set_level(config->log_level);
	set_totals(worker);
	budget_configure(worker);
	worker_share_out(worker);
	scoreboard_set_config(worker->board, worker->slot, generation);
	programs_try(worker);
}

void
worker_look_at_capacity(struct worker *worker)
{
	if (!worker->capacity_changed)
		return;
	worker->capacity_changed = false;
	worker_share_out(worker);
	if (!worker_drain_is_on(worker))
		worker->turn.asked = true;
}

static void
on_config(struct config *config, uint64_t generation, void *argument)
{
	struct worker *worker = argument;

	others_take(worker);
	worker_configure(worker, config, generation);
	heartbeat_configure(worker);
	member_register_again(worker);
	loop_config_taken(worker->loop, generation);
	turn_ask(worker);
}

static void
on_drain(int64_t cancel_ms, int64_t gone_ms, void *argument)
{
	worker_drain_begin(argument, cancel_ms, gone_ms);
}

static void
on_log_state(void *argument)
{
	struct worker *worker = argument;
	const struct running *running;
	struct mono now = mono_now();

	log_notice("worker %lld: %zu tasks held, %d with a slot, %zu ended "
		   "and not recorded yet",
	    (long long)worker->member.id, worker->table.count,
	    worker->run.slots, worker->finished_count);
	TAILQ_FOREACH(running, &worker->started, link)
	log_notice("task %lld (%s, queue %s) runs for %lld ms",
	    (long long)running->task.id, running->task.kind,
	    running->task.queue,
	    (long long)mono_ms_between(running->task.started, now));
}

static void
on_orphan(const char *reason, void *argument)
{
	log_warning("the supervisor is gone, draining: %s", reason);
	worker_drain_orphaned(argument);
}

static void
on_message(const struct procmsg *message, void *argument)
{
	if (message->type == PROCMSG_BOARD)
		others_handed(argument, message);
	else if (message->fd >= 0)
		close(message->fd);
}

static const struct loop_callbacks callbacks = {.on_config = on_config,
    .on_drain = on_drain,
    .on_log_state = on_log_state,
    .on_orphan = on_orphan,
    .on_message = on_message};

static void
on_wake(evutil_socket_t fd, short what, void *argument)
{
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) != sizeof(count))
		return;
	if (count >= CHILD_WAKE_CANCEL) {
		budget_told(argument);
		turn_look(argument);
	}
	if (count % CHILD_WAKE_CANCEL != 0) {
		turn_sweep(argument);
		turn_ask(argument);
	}
}

static void
open_wake(struct worker *worker)
{
	worker->wake = event_new(
	    worker->base, CHILD_FD_WAKE, EV_READ | EV_PERSIST, on_wake, worker);
	event_add(worker->wake, NULL);
}

static void
open_parts(struct worker *worker, struct child_start *start)
{
	worker->base = loop_base(worker->loop);
	worker->board = loop_scoreboard(worker->loop);
	worker->slot = start->slot;
	worker->instance = child_instance(start->config);
	TAILQ_INIT(&worker->generations);
	TAILQ_INIT(&worker->fetching);
	TAILQ_INIT(&worker->started);
	TAILQ_INIT(&worker->finished);
	TAILQ_INIT(&worker->sent);
	events_open(worker, start->config->runtime_dir);
	others_open(worker, start->others, start->other_count);
	worker_configure(worker, start->config, start->generation);
	run_open(worker);
	budget_open(worker);
	length_open(worker);
	time_limit_open(worker);
	turn_open(worker);
	due_open(worker);
	worker_drain_open(worker);
	open_wake(worker);
	heartbeat_open(worker);
	announce_open(worker);
	stream_open(worker);
	worker->sql_pool = sql_pool_new(worker);
	member_open(worker);
}

static void
free_list(struct worker *worker, struct running_list *list)
{
	struct running *running;

	while ((running = TAILQ_FIRST(list)) != NULL)
		run_forget(worker, running);
}

/* What is to be flushed turns the loop, so it is done while all of the worker
 * stands: any timer may fire meanwhile. Started tasks are left alone: their
 * handlers' processes are the supervisor's to clean up, from the scoreboard. */
static void
close_parts(struct worker *worker)
{
	stream_flush(worker);
	announce_flush(worker);
	run_give_back(worker);
	member_close(worker);
	sql_pool_free(worker->sql_pool);
	free_list(worker, &worker->finished);
	free_list(worker, &worker->sent);
	if (TAILQ_EMPTY(&worker->started))
		worker_generation_sweep(&worker->generations, true);
	stream_close(worker);
	events_close(worker);
	heartbeat_close(worker);
	announce_close(worker);
	others_close(worker);
	event_free(worker->wake);
	worker_drain_close(worker);
	due_close(worker);
	turn_close(worker);
	run_close(worker);
	time_limit_close(worker);
	budget_close(worker);
	length_close(worker);
	running_table_free(&worker->table);
	route_list_free(&worker->routes);
	share_list_free(&worker->queues);
	share_list_free(&worker->kinds);
}

int
worker_main(struct child_start *start)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int code;

	if (worker == NULL)
		abort();
	worker->loop = loop_new(start, &callbacks, worker);
	if (worker->loop == NULL)
		return EXIT_NO_LOOP;
	open_parts(worker, start);
	code = loop_run(worker->loop);
	close_parts(worker);
	loop_free(worker->loop);
	free(worker);
	return code;
}
