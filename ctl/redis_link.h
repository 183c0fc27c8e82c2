/* A blocking connection to Redis for one call of musterctl. */
#ifndef CTL_REDIS_LINK_H
#define CTL_REDIS_LINK_H

#include <hiredis/hiredis.h>

#include "common/redis.h"

/* Connects and logs in; each step within the limit. NULL: `why` says what is
 * wrong. The caller frees it with redisFree. */
redisContext *redis_link_open(const struct redis_address *address,
    int64_t limit_ms, char *why, size_t why_size);

/* One command. NULL when it worked, else what went wrong, in `why`. */
const char *redis_link_order(redisContext *redis, int argc, const char **argv,
    char *why, size_t why_size);

#endif
