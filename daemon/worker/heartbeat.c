#include "daemon/worker/heartbeat.h"

#include <event2/event.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "common/busy.h"
#include "common/log.h"
#include "common/publisher.h"
#include "common/redis.h"
#include "common/text.h"
#include "daemon/worker/worker.h"

static void
add_key(const struct worker *worker, struct text *key)
{
	text_addf(key, "muster:%s:worker:%" PRId64, worker->config->cluster,
	    worker->member.id);
}

/* What a heartbeat says of its worker, for people who look into Redis. */
static void
add_value(const struct worker *worker, struct text *value)
{
	char host[256] = "";

	(void)gethostname(host, sizeof(host) - 1); /* unnamed is no harm */
	text_add_string(value, "{\"instance\":");
	text_add_json_string(value, worker->instance, strlen(worker->instance));
	text_add_string(value, ",\"host\":");
	text_add_json_string(value, host, strlen(host));
	text_addf(value, ",\"pid\":%d,\"slot\":%d,\"running\":%d}",
	    (int)getpid(), worker->slot, worker->run.slots);
}

static void
send_heartbeat(struct worker *worker)
{
	int64_t ttl = 3 * worker->config->heartbeat_ms;
	struct text key = TEXT_EMPTY, value = TEXT_EMPTY, px = TEXT_EMPTY;

	add_key(worker, &key);
	add_value(worker, &value);
	text_add_int(&px, ttl > HEARTBEAT_TTL_MS ? ttl : HEARTBEAT_TTL_MS);
	const char *argv[] = {"SET", key.data, value.data, "PX", px.data};
	const size_t lengths[] = {3, key.length, value.length, 2, px.length};
	/* A beat that is lost is followed by another. */
	if (redis_command(worker->heartbeat.redis, 5, argv, lengths) == 0)
		scoreboard_count(worker->board, SCOREBOARD_HEARTBEATS, 1);
	text_free(&key);
	text_free(&value);
	text_free(&px);
}

static void
on_beat(evutil_socket_t fd, short what, void *argument)
{
	struct worker *worker = argument;
	struct busy busy = busy_enter("heartbeat");

	(void)fd, (void)what;
	if (worker->member.registered)
		send_heartbeat(worker);
	busy_leave(busy);
}

void
heartbeat_end(struct worker *worker)
{
	struct text key = TEXT_EMPTY;

	if (worker->heartbeat.redis == NULL || !worker->member.registered)
		return;
	event_del(worker->heartbeat.beat);
	add_key(worker, &key);
	const char *argv[] = {"DEL", key.data};
	const size_t lengths[] = {3, key.length};
	if (redis_command(worker->heartbeat.redis, 2, argv, lengths) < 0)
		log_debug("the heartbeat will end by its time to live");
	text_free(&key);
}

static void
on_redis(bool up, const char *reason, void *argument)
{
	struct worker *worker = argument;

	if (up) {
		log_write(
		    LOG_LEVEL_INFO, LOG_REDIS_BACK, NULL, "connected to redis");
		event_active(worker->heartbeat.beat, 0, 0);
		if (worker->publisher != NULL)
			publisher_go(worker->publisher);
	} else {
		log_write(LOG_LEVEL_WARNING, LOG_REDIS_LOST, NULL,
		    "no connection to redis, work goes on: %s", reason);
	}
}

void
heartbeat_open(struct worker *worker)
{
	struct heartbeat *heartbeat = &worker->heartbeat;
	struct redis_address address;
	struct error error;

	heartbeat->beat =
	    event_new(worker->base, -1, EV_PERSIST, on_beat, worker);
	if (worker->config->redis == NULL)
		return;
	if (redis_address_parse(worker->config->redis, &address, &error) < 0) {
		log_warning("redis cannot be used, ignoring: %s", error.text);
		return;
	}
	heartbeat->redis = redis_new(worker->base, &address, on_redis, worker);
	redis_address_free(&address);
	heartbeat_configure(worker);
}

void
heartbeat_configure(struct worker *worker)
{
	int64_t ms = worker->config->heartbeat_ms;
	struct timeval every = {
	    .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	if (worker->heartbeat.redis != NULL)
		event_add(worker->heartbeat.beat, &every);
}

void
heartbeat_close(struct worker *worker)
{
	worker->heartbeat.redis = redis_free(worker->heartbeat.redis);
	event_free(worker->heartbeat.beat);
}
