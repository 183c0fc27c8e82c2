/*
 * One session through hiredis 0.14. It frees its context by itself after a
 * failed connect and after a disconnect, and must not be asked to from inside
 * those two callbacks: they only forget the pointer. The adapter is a header
 * of functions; it is included here and nowhere else.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/busy.h"
#include "common/redis_internal.h"

/* Out of the books; the memory stays until hiredis has called back. */
static void
settle(struct redis_request *request)
{
	struct redis *redis = request->redis;
	LIST_REMOVE(request, link);
	redis->pending--;
	redis->pending_bytes -= request->bytes;
	request->redis = NULL;
}

static void
answer(struct redis_request *request, const char *const *items, size_t count)
{
	if (request->on_reply != NULL)
		request->on_reply(items, count, request->argument);
}

static const char *
item_text(const redisReply *reply, char number[24])
{
	switch (reply->type) {
	case REDIS_REPLY_STRING:
	case REDIS_REPLY_STATUS:
		return reply->str;
	case REDIS_REPLY_INTEGER:
		snprintf(number, 24, "%lld", reply->integer);
		return number;
	default:
		return NULL;
	}
}

static void
answer_array(struct redis_request *request, const redisReply *reply)
{
	size_t count = reply->elements;
	const char **items = calloc(count + 1, sizeof *items);
	char(*numbers)[24] = calloc(count + 1, sizeof *numbers);
	if (items == NULL || numbers == NULL)
		abort();
	for (size_t i = 0; i < count; i++)
		items[i] = item_text(reply->element[i], numbers[i]);
	answer(request, items, count);
	free(items);
	free(numbers);
}

static void
answer_reply(struct redis_request *request, const redisReply *reply)
{
	char number[24];
	if (reply->type == REDIS_REPLY_ERROR) {
		answer(request, NULL, 0);
	} else if (reply->type == REDIS_REPLY_ARRAY) {
		answer_array(request, reply);
	} else {
		const char *item = item_text(reply, number);
		answer(request, &item, 1);
	}
}

static void
note_trouble(struct redis *redis, const redisReply *reply)
{
	redis->trouble[0] = '\0';
	if (reply->type == REDIS_REPLY_ERROR)
		snprintf(
		    redis->trouble, sizeof redis->trouble, "%s", reply->str);
}

/* Refusals that go away only with another server or session. */
static bool
session_is_useless(const struct redis *redis)
{
	static const char *const words[] = {
	    "READONLY ", "LOADING ", "MASTERDOWN ", "NOAUTH ", "WRONGPASS "};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strncmp(redis->trouble, words[i], strlen(words[i])) == 0)
			return true;
	return false;
}

static void
heard(
    struct redis *redis, struct redis_request *request, const redisReply *reply)
{
	bool setup = request->setup;
	bool last_of_setup = setup && redis->pending == 1;
	redis->last_answer = mono_now();
	note_trouble(redis, reply);
	settle(request);
	answer_reply(request, reply);
	if (redis->context == NULL)
		return;
	if (redis->trouble[0] != '\0' && (setup || session_is_useless(redis)))
		redis_failed(redis, redis->trouble);
	else if (last_of_setup)
		redis_came_up(redis);
}

static void
on_reply(redisAsyncContext *context, void *data, void *argument)
{
	(void)context;
	struct redis_request *request = argument;
	struct redis *redis = request->redis;
	if (redis != NULL && data != NULL) {
		struct busy busy = busy_enter("redis answer");
		redis_enter(redis);
		heard(redis, request, data);
		redis_leave(redis);
		busy_leave(busy);
	} else if (redis != NULL) {
		/* Going away; the disconnect callback follows. */
		redis_enter(redis);
		settle(request);
		answer(request, NULL, 0);
		redis_leave(redis);
	}
	free(request);
}

static void
on_disconnect(const redisAsyncContext *context, int status)
{
	struct redis *redis = context->data;
	if (redis == NULL)
		return;
	redis->context = NULL;
	struct busy busy = busy_enter("redis disconnect");
	redis_failed(redis, status == REDIS_OK || context->errstr[0] == '\0'
				? "closed"
				: context->errstr);
	busy_leave(busy);
}

/* [p]message, its pattern if it has one, its channel, the text; or the word
 * that we are subscribed. */
static void
hand_on_message(struct redis *redis, const redisReply *reply)
{
	bool pattern = reply->elements == 4;
	const redisReply *text;
	if (reply->elements < 3 || redis->on_message == NULL)
		return;
	text = reply->element[reply->elements - 1];
	if (strcmp(reply->element[0]->str, pattern ? "pmessage" : "message") ==
		0 &&
	    text->type == REDIS_REPLY_STRING)
		redis->on_message(pattern, reply->element[1]->str, text->str,
		    (size_t)text->len, redis->message_argument);
}

static void
on_told(redisAsyncContext *context, void *data, void *argument)
{
	struct redis *redis = context->data;
	const redisReply *reply = data;
	(void)argument;
	if (redis == NULL || reply == NULL ||
	    reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 ||
	    reply->element[0]->type != REDIS_REPLY_STRING)
		return;
	struct busy busy = busy_enter("redis message");
	redis_enter(redis);
	redis->last_answer = mono_now();
	redis->asked = false;
	hand_on_message(redis, reply);
	redis_leave(redis);
	busy_leave(busy);
}

int
redis_session_listen(struct redis *redis, const char *word, const char *name)
{
	const char *words[] = {word, name};
	int r = redisAsyncCommandArgv(
	    redis->context, on_told, NULL, 2, words, NULL);
	return r == REDIS_OK ? 0 : -ENOTCONN;
}

static void
send_setup(struct redis *redis, int argc, const char *const *argv)
{
	size_t lengths[3];
	for (int i = 0; i < argc; i++)
		lengths[i] = strlen(argv[i]);
	struct redis_request *request = calloc(1, sizeof *request);
	if (request == NULL)
		abort();
	request->setup = true;
	if (redis->context != NULL)
		(void)redis_session_send(redis, argc, argv, lengths, request);
	else
		free(request);
}

static void
set_up(struct redis *redis)
{
	const struct redis_address *address = &redis->address;
	char database[16];
	snprintf(database, sizeof database, "%d", address->database);
	redis_set_state(redis, LINK_SETTING_UP);
	if (address->password != NULL && address->user != NULL)
		send_setup(redis, 3,
		    (const char *[]){"AUTH", address->user, address->password});
	else if (address->password != NULL)
		send_setup(
		    redis, 2, (const char *[]){"AUTH", address->password});
	if (address->database != 0)
		send_setup(redis, 2, (const char *[]){"SELECT", database});
	send_setup(redis, 1, (const char *[]){"PING"});
}

static void
on_connect(const redisAsyncContext *context, int status)
{
	struct redis *redis = context->data;
	if (redis == NULL)
		return;
	struct busy busy = busy_enter("redis connect");
	if (status == REDIS_OK) {
		set_up(redis);
	} else {
		redis->context = NULL;
		redis_failed(redis, context->errstr);
	}
	busy_leave(busy);
}

static redisAsyncContext *
open_context(const struct redis *redis, const char *address)
{
	const char *path = redis->address.path;
	redisAsyncContext *context =
	    path != NULL ? redisAsyncConnectUnix(path)
			 : redisAsyncConnect(address, redis->address.port);
	if (context == NULL)
		abort();
	if (context->err == 0)
		(void)fcntl(context->c.fd, F_SETFD, FD_CLOEXEC);
	return context;
}

void
redis_session_start(struct redis *redis, const char *address)
{
	redis_set_state(redis, LINK_CONNECTING);
	redisAsyncContext *context = open_context(redis, address);
	if (context->err != 0) {
		char reason[128];
		snprintf(reason, sizeof reason, "%s", context->errstr);
		redisAsyncFree(context);
		redis_failed(redis, reason);
		return;
	}
	context->data = redis;
	redis->context = context;
	redisLibeventAttach(context, redis->base);
	redisAsyncSetConnectCallback(context, on_connect);
	redisAsyncSetDisconnectCallback(context, on_disconnect);
}

void
redis_session_drop(struct redis *redis)
{
	redisAsyncContext *context = redis->context;
	redis->context = NULL;
	if (context != NULL)
		context->data = NULL;
	struct redis_request *request;
	while ((request = LIST_FIRST(&redis->requests)) != NULL) {
		settle(request);
		answer(request, NULL, 0);
	}
	if (context != NULL)
		redisAsyncFree(context);
}

int
redis_session_send(struct redis *redis, int argc, const char *const *argv,
    const size_t *lengths, struct redis_request *request)
{
	/* hiredis does not write to the words; its type forgot to say so. */
	int r = redisAsyncCommandArgv(redis->context, on_reply, request, argc,
	    (const char **)(uintptr_t)argv, lengths);
	if (r != REDIS_OK) {
		free(request);
		return -ENOTCONN;
	}
	if (redis->pending == 0)
		redis->last_answer = mono_now();
	request->redis = redis;
	LIST_INSERT_HEAD(&redis->requests, request, link);
	redis->pending++;
	redis->pending_bytes += request->bytes;
	return 0;
}
