#include "ctl/channel.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/interrupt.h"
#include "ctl/redis_link.h"
#include "ctl/settings.h"
#include "common/clock.h"
#include "common/config.h"

enum {
	LIMIT_MS = 1000,  /* of each step of connecting, and of writing */
	AGAIN_MS = 500,	  /* between two attempts */
	QUIET_MS = 10000, /* then Redis is asked whether it is there */
	NAMES_MAX = 500,  /* in one SUBSCRIBE */
};

struct channel {
	struct redis_address address; /* owned */
	char *cluster;		      /* owned */
	channel_message_cb *on_message;
	void *argument;
	redisContext *redis; /* NULL: away */
	struct mono tried, heard;
	bool asked;	 /* PING is under way */
	bool told;	 /* that Redis is away */
	char *events;	 /* owned; types of events as a glob; NULL: none */
	bool has_events; /* this connection is subscribed to them */
	int64_t *tasks;	 /* owned */
	size_t count, subscribed;
};

struct channel *
channel_new(struct ctl *ctl, channel_message_cb *on_message, void *argument)
{
	struct redis_address address;
	struct channel *channel;
	struct error error;

	if (ctl->config == NULL && ctl_option(ctl, "database") != NULL &&
	    ctl_option(ctl, "config") == NULL)
		return NULL; /* whose Redis it has, nobody said */
	if (settings_load(ctl) != 0 || ctl->config->redis == NULL ||
	    redis_address_parse(ctl->config->redis, &address, &error) < 0)
		return NULL;
	channel = calloc(1, sizeof(*channel));
	if (channel == NULL)
		abort();
	channel->address = address;
	channel->cluster = strdup(ctl->config->cluster);
	channel->on_message = on_message;
	channel->argument = argument;
	channel->tried = mono_add_ms(mono_now(), -AGAIN_MS);
	return channel;
}

struct channel *
channel_free(struct channel *channel)
{
	if (channel == NULL)
		return NULL;
	if (channel->redis != NULL)
		redisFree(channel->redis);
	redis_address_free(&channel->address);
	free(channel->cluster);
	free(channel->events);
	free(channel->tasks);
	free(channel);
	return NULL;
}

static void
lost(struct channel *channel, const char *why)
{
	if (!channel->told)
		(void)ctl_fail(
		    0, "no progress is seen, redis is away: %s", why);
	channel->told = true;
	if (channel->redis != NULL)
		redisFree(channel->redis);
	channel->redis = NULL;
	channel->subscribed = 0;
	channel->has_events = false;
}

/* False: no connection now. */
static bool
link_up(struct channel *channel)
{
	struct mono now = mono_now();
	char why[256];

	if (channel->redis != NULL)
		return true;
	if (mono_ms_between(channel->tried, now) < AGAIN_MS)
		return false;
	channel->redis =
	    redis_link_open(&channel->address, LIMIT_MS, why, sizeof(why));
	channel->tried = channel->heard = mono_now();
	channel->asked = false;
	if (channel->redis == NULL)
		lost(channel, why);
	else
		channel->told = false;
	return channel->redis != NULL;
}

static bool
write_out(struct channel *channel)
{
	int done = 0;

	while (!done)
		if (redisBufferWrite(channel->redis, &done) != REDIS_OK) {
			lost(channel, channel->redis->errstr);
			return false;
		}
	return true;
}

static void
add_names(const struct channel *channel, size_t count, const char **names)
{
	struct text name = TEXT_EMPTY;

	for (size_t i = 0; i < count; i++) {
		text_addf(&name, "muster:%s:task:%" PRId64, channel->cluster,
		    channel->tasks[channel->subscribed + i]);
		names[i] = text_steal(&name);
	}
}

static bool
subscribe_events(struct channel *channel)
{
	struct text pattern = TEXT_EMPTY;

	if (channel->events == NULL || channel->has_events)
		return true;
	text_addf(
	    &pattern, "muster:%s:events:%s", channel->cluster, channel->events);
	redisAppendCommand(
	    channel->redis, "PSUBSCRIBE %s", text_string(&pattern));
	text_free(&pattern);
	channel->has_events = true;
	return write_out(channel);
}

/* Whatever of `tasks` this connection does not know yet. */
static bool
subscribe(struct channel *channel)
{
	while (channel->subscribed < channel->count) {
		const char *words[1 + NAMES_MAX] = {"SUBSCRIBE"};
		size_t count = channel->count - channel->subscribed;

		if (count > NAMES_MAX)
			count = NAMES_MAX;
		add_names(channel, count, words + 1);
		redisAppendCommandArgv(
		    channel->redis, (int)count + 1, words, NULL);
		for (size_t i = 1; i <= count; i++)
			free((char *)(uintptr_t)words[i]);
		channel->subscribed += count;
		if (!write_out(channel))
			return false;
	}
	return true;
}

void
channel_follow_events(struct channel *channel, const char *types)
{
	channel->events = strdup(types);
	if (channel->events == NULL)
		abort();
}

void
channel_follow(struct channel *channel, int64_t task)
{
	if (channel == NULL)
		return;
	if ((channel->count & (channel->count - 1)) == 0) {
		channel->tasks = reallocarray(channel->tasks,
		    channel->count == 0 ? 1 : channel->count * 2,
		    sizeof(*channel->tasks));
		if (channel->tasks == NULL)
			abort();
	}
	channel->tasks[channel->count++] = task;
}

/* [p]message, its pattern if it has one, its channel, the text. */
static void
take(struct channel *channel, const redisReply *reply)
{
	struct json_value message;
	const redisReply *text;
	const char *colon;

	if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3 ||
	    reply->elements > 4)
		return;
	for (size_t i = 0; i < reply->elements; i++)
		if (reply->element[i]->type != REDIS_REPLY_STRING)
			return;
	text = reply->element[reply->elements - 1];
	colon = strrchr(reply->element[reply->elements - 2]->str, ':');
	if (colon != NULL &&
	    json_value_of(text->str, (size_t)text->len, &message))
		channel->on_message(
		    strtoll(colon + 1, NULL, 10), message, channel->argument);
}

/* What one read brought. */
static void
read_in(struct channel *channel)
{
	void *reply = NULL;

	channel->heard = mono_now();
	channel->asked = false;
	if (redisBufferRead(channel->redis) != REDIS_OK) {
		lost(channel, channel->redis->errstr);
		return;
	}
	for (;;) {
		if (redisGetReplyFromReader(channel->redis, &reply) !=
		    REDIS_OK) {
			lost(channel, channel->redis->errstr);
			return;
		}
		if (reply == NULL)
			return;
		take(channel, reply);
		freeReplyObject(reply);
	}
}

static void
ask_when_quiet(struct channel *channel)
{
	int64_t quiet_ms = mono_ms_between(channel->heard, mono_now());

	if (channel->asked && quiet_ms > 2 * QUIET_MS) {
		lost(channel, "no answer");
	} else if (!channel->asked && quiet_ms > QUIET_MS) {
		channel->asked = true;
		redisAppendCommand(channel->redis, "PING");
		(void)write_out(channel);
	}
}

void
channel_wait(struct channel *channel, int64_t ms)
{
	struct mono until = mono_add_ms(mono_now(), ms);
	int64_t left = ms;

	while (left >= 0 && !interrupt_seen()) {
		bool up = channel != NULL &&
			  (channel->count > 0 || channel->events != NULL) &&
			  link_up(channel) && subscribe(channel) &&
			  subscribe_events(channel);
		struct pollfd socket = {.fd = -1, .events = POLLIN};
		int pause = left > AGAIN_MS ? AGAIN_MS : (int)left;

		if (up)
			socket.fd = channel->redis->fd;
		if (poll(&socket, 1, pause) > 0) {
			read_in(channel);
			return;
		}
		if (up)
			ask_when_quiet(channel);
		left = mono_ms_between(mono_now(), until);
		if (left <= 0)
			return;
	}
}

void
channel_last(struct channel *channel, int64_t task, struct text *ret_text)
{
	struct text key = TEXT_EMPTY;
	struct json_value message;
	redisReply *reply;

	if (channel == NULL || channel->subscribed > 0 || !link_up(channel))
		return;
	text_addf(&key, "muster:%s:progress:%" PRId64, channel->cluster, task);
	reply = redisCommand(channel->redis, "GET %s", text_string(&key));
	text_free(&key);
	if (reply == NULL) {
		lost(channel, channel->redis->errstr);
		return;
	}
	if (reply->type == REDIS_REPLY_STRING &&
	    json_value_of(reply->str, (size_t)reply->len, &message))
		text_add(ret_text, message.at, message.length);
	freeReplyObject(reply);
}
