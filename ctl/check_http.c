#include <curl/curl.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/http_address.h"
#include "common/http_connect.h"
#include "ctl/check_parts.h"

struct attempt {
	CURL *easy;
	bool allow_private;
	char refused[HTTP_ADDRESS_TEXT]; /* a private address; "": none */
	char detail[CURL_ERROR_SIZE];
};

static curl_socket_t
open_socket(void *argument, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct attempt *attempt = argument;

	(void)purpose;
	if (!attempt->allow_private &&
	    !http_address_is_public(&address->addr)) {
		http_address_format(&address->addr, attempt->refused);
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC,
	    address->protocol);
}

static CURLcode
try_to_connect(struct attempt *attempt, const struct handler_config *handler)
{
	CURL *easy = attempt->easy;

	http_connect_setup(easy, handler);
	attempt->allow_private = handler->allow_private > 0;
	(void)curl_easy_setopt(easy, CURLOPT_URL, handler->url);
	(void)curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, attempt->detail);
	(void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	(void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, attempt);
	return curl_easy_perform(easy);
}

static bool
is_away(CURLcode code)
{
	return code == CURLE_COULDNT_RESOLVE_HOST ||
	       code == CURLE_COULDNT_CONNECT ||
	       code == CURLE_OPERATION_TIMEDOUT;
}

static int
report_end(struct check_report *report, const struct handler_config *handler,
    const struct attempt *attempt, CURLcode code)
{
	char *address = NULL;
	long port = 0;

	(void)curl_easy_getinfo(attempt->easy, CURLINFO_PRIMARY_IP, &address);
	(void)curl_easy_getinfo(attempt->easy, CURLINFO_PRIMARY_PORT, &port);
	if (code == CURLE_OK)
		return check_add(report, 0, "handler",
		    "%s reaches %s (%s, port %ld)", handler->kind, handler->url,
		    address, port);
	if (attempt->refused[0] != '\0' && code == CURLE_COULDNT_CONNECT)
		return check_add(report, CTL_FAILED, "handler",
		    "%s: %s has the private address %s, and allow_private is "
		    "not set",
		    handler->kind, handler->url, attempt->refused);
	return check_add(report, is_away(code) ? CTL_AGAIN : CTL_FAILED,
	    "handler", "%s: %s: %s", handler->kind, handler->url,
	    attempt->detail[0] != '\0' ? attempt->detail
				       : curl_easy_strerror(code));
}

int
check_http(struct check_report *report, const struct handler_config *handler)
{
	struct attempt attempt = {0};
	int code;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		abort();
	attempt.easy = curl_easy_init();
	if (attempt.easy == NULL)
		abort();
	code = report_end(
	    report, handler, &attempt, try_to_connect(&attempt, handler));
	curl_easy_cleanup(attempt.easy);
	curl_global_cleanup();
	return code;
}
