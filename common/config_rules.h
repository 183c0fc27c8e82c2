/*
 * What a value must be beyond its type. Private to the config_*.c files. Each
 * check says in `error` what is wrong, without a place.
 */
#ifndef COMMON_CONFIG_RULES_H
#define COMMON_CONFIG_RULES_H

#include <stdbool.h>

#include "common/error.h"

/* Letters, digits and _ - . : / — of queues, kinds, the cluster. */
bool config_is_name(const char *value, struct error *error);
bool config_is_absolute(const char *value, struct error *error);
/* A path that leaves room for a socket's name. */
bool config_is_runtime_dir(const char *value, struct error *error);
bool config_is_conninfo(const char *value, struct error *error);
bool config_is_redis(const char *value, struct error *error);
/* schema.function, as it stands in SQL without quotes. */
bool config_is_function(const char *value, struct error *error);
/* A cron expression, a time zone that this host knows of. */
bool config_is_cron(const char *value, struct error *error);
bool config_is_timezone(const char *value, struct error *error);
bool config_is_variable(const char *value, struct error *error);
/* http:// or https://, a host, no user, no password, no fragment. */
bool config_is_url(const char *value, struct error *error);
/* The name of a header that is not the daemon's own, and a header's text. */
bool config_is_header(const char *value, struct error *error);
bool config_is_header_text(const char *value, struct error *error);

#endif
