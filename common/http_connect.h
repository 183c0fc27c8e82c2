/* http: how its servers are connected to, whoever does it. */
#ifndef COMMON_HTTP_CONNECT_H
#define COMMON_HTTP_CONNECT_H

#include <curl/curl.h>
#include <stdint.h>

#include "common/config.h"

/* A handler's time limit for name, TCP and TLS. */
int64_t http_connect_ms(const struct handler_config *config);

/* Whom the handle trusts, how long it may take, that no proxy is used and no
 * redirect followed. `config` is that of an http handler. */
void http_connect_setup(CURL *easy, const struct handler_config *config);

#endif
