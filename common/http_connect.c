#include "common/http_connect.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONNECT_MS = 10000 }; /* unless the configuration says otherwise */

/* Options are refused only by a libcurl that was built without them. */
#define MUST(call)                                                             \
	do {                                                                   \
		if ((call) != CURLE_OK)                                        \
			abort();                                               \
	} while (0)

int64_t
http_connect_ms(const struct handler_config *config)
{
	return config->connect_timeout_ms > 0 ? config->connect_timeout_ms
					      : CONNECT_MS;
}

/*
 * A ca_file stands in place of the system's. Those are taken from the folder
 * where there is one: a single certificate is read when it is needed, instead
 * of all of them at the first connection.
 */
static void
set_authorities(CURL *easy, const struct handler_config *config)
{
	const curl_version_info_data *version =
	    curl_version_info(CURLVERSION_NOW);

	if (config->ca_file != NULL) {
		MUST(curl_easy_setopt(easy, CURLOPT_CAINFO, config->ca_file));
		MUST(curl_easy_setopt(easy, CURLOPT_CAPATH, NULL));
	} else if (version->capath != NULL &&
		   access(version->capath, R_OK | X_OK) == 0) {
		MUST(curl_easy_setopt(easy, CURLOPT_CAINFO, NULL));
	}
}

void
http_connect_setup(CURL *easy, const struct handler_config *config)
{
	bool tls = strncmp(config->url, "https:", 6) == 0;

	MUST(curl_easy_setopt(
	    easy, CURLOPT_CONNECTTIMEOUT_MS, (long)http_connect_ms(config)));
	MUST(curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https"));
	MUST(curl_easy_setopt(easy, CURLOPT_PROXY, ""));
	MUST(curl_easy_setopt(easy, CURLOPT_NOPROXY, "*"));
	MUST(curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L));
	MUST(curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L));
	MUST(curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L));
	MUST(curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L));
	/* A server that speaks HTTP/2 gets one connection, not as many as
	 * there are tasks at the start. */
	MUST(curl_easy_setopt(easy, CURLOPT_PIPEWAIT, tls ? 1L : 0L));
	set_authorities(easy, config);
}
