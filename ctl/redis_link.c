#include "ctl/redis_link.h"

#include <stdio.h>
#include <stdlib.h>

static redisContext *
connect_redis(const struct redis_address *address, int64_t limit_ms)
{
	struct timeval limit = {
	    .tv_sec = limit_ms / 1000, .tv_usec = limit_ms % 1000 * 1000};
	redisContext *redis;

	redis =
	    address->path != NULL
		? redisConnectUnixWithTimeout(address->path, limit)
		: redisConnectWithTimeout(address->host, address->port, limit);
	if (redis == NULL)
		abort();
	if (redis->err == 0)
		redisSetTimeout(redis, limit);
	return redis;
}

const char *
redis_link_order(redisContext *redis, int argc, const char **argv, char *why,
    size_t why_size)
{
	redisReply *reply = redisCommandArgv(redis, argc, argv, NULL);
	const char *wrong = NULL;

	if (reply == NULL)
		wrong = redis->errstr;
	else if (reply->type == REDIS_REPLY_ERROR)
		wrong = reply->str;
	if (wrong != NULL)
		snprintf(why, why_size, "%s", wrong);
	if (reply != NULL)
		freeReplyObject(reply);
	return wrong != NULL ? why : NULL;
}

static const char *
log_in(redisContext *redis, const struct redis_address *address, char *why,
    size_t why_size)
{
	const char *login[3] = {"AUTH"}, *wrong = NULL;
	char number[16];
	int words = 1;

	snprintf(number, sizeof(number), "%d", address->database);
	if (address->user != NULL)
		login[words++] = address->user;
	login[words++] = address->password;
	if (address->password != NULL)
		wrong = redis_link_order(redis, words, login, why, why_size);
	if (wrong == NULL && address->database != 0)
		wrong = redis_link_order(redis, 2,
		    (const char *[]){"SELECT", number}, why, why_size);
	if (wrong == NULL)
		wrong = redis_link_order(
		    redis, 1, (const char *[]){"PING"}, why, why_size);
	return wrong;
}

redisContext *
redis_link_open(const struct redis_address *address, int64_t limit_ms,
    char *why, size_t why_size)
{
	redisContext *redis = connect_redis(address, limit_ms);

	if (redis->err != 0)
		snprintf(why, why_size, "%s", redis->errstr);
	else if (log_in(redis, address, why, why_size) == NULL)
		return redis;
	redisFree(redis);
	return NULL;
}
