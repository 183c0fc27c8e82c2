#include "daemon/handlers/http_host.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "common/busy.h"
#include "common/clock.h"
#include "common/resolve.h"
#include "common/text.h"

enum { FRESH_MS = 60000 };

struct http_host {
	struct event_base *base;
	CURLU *url;
	char *name, *port;
	int64_t limit_ms;
	http_host_found_cb *on_found;
	void *argument;
	struct resolve *resolve; /* a look-up goes on */
	struct event *timer;	 /* its limit */
	struct text entry;	 /* empty: not known */
	struct mono found_at;
};

static void
end_lookup(struct http_host *host, const char *error)
{
	host->resolve = resolve_cancel(host->resolve);
	event_del(host->timer);
	host->on_found(error, host->argument);
}

static void
on_limit(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct http_host *host = argument;
	struct busy busy = busy_enter("http name look-up");

	end_lookup(host, host->resolve != NULL
			     ? "the look-up of its name takes too long"
			     : "too many look-ups of names hang");
	busy_leave(busy);
}

static void
on_resolved(const char *const *addresses, size_t count, const char *reason,
    void *argument)
{
	struct http_host *host = argument;
	struct busy busy = busy_enter("http name look-up");

	host->resolve = NULL;
	text_clear(&host->entry);
	if (count > 0)
		text_addf(&host->entry, "%s:%s:", host->name, host->port);
	for (size_t i = 0; i < count; i++) {
		bool v6 = strchr(addresses[i], ':') != NULL;

		text_addf(&host->entry, "%s%s%s%s", i > 0 ? "," : "",
		    v6 ? "[" : "", addresses[i], v6 ? "]" : "");
	}
	host->found_at = mono_now();
	end_lookup(host, count > 0 ? NULL : reason);
	busy_leave(busy);
}

static void
split_url(struct http_host *host, const char *url)
{
	char *name = NULL, *port = NULL;

	host->url = curl_url();
	if (host->url == NULL)
		abort();
	if (curl_url_set(host->url, CURLUPART_URL, url, 0) == CURLUE_OK) {
		(void)curl_url_get(host->url, CURLUPART_HOST, &name, 0);
		(void)curl_url_get(
		    host->url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
	}
	host->name = strdup(name != NULL ? name : "");
	host->port = strdup(port != NULL ? port : "");
	if (host->name == NULL || host->port == NULL)
		abort();
	curl_free(name);
	curl_free(port);
}

struct http_host *
http_host_new(struct event_base *base, const char *url, int64_t limit_ms,
    http_host_found_cb *on_found, void *argument)
{
	struct http_host *host = calloc(1, sizeof(*host));

	if (host == NULL)
		abort();
	host->base = base;
	host->limit_ms = limit_ms;
	host->on_found = on_found;
	host->argument = argument;
	host->timer = evtimer_new(base, on_limit, host);
	if (host->timer == NULL)
		abort();
	split_url(host, url);
	return host;
}

struct http_host *
http_host_free(struct http_host *host)
{
	if (host == NULL)
		return NULL;
	(void)resolve_cancel(host->resolve);
	event_free(host->timer);
	text_free(&host->entry);
	curl_url_cleanup(host->url);
	free(host->name);
	free(host->port);
	free(host);
	return NULL;
}

const char *
http_host_name(const struct http_host *host)
{
	return host->name;
}

CURLU *
http_host_url(const struct http_host *host)
{
	return host->url;
}

/* One of IPv6 stands in brackets, and libcurl refuses what it cannot read. */
static bool
needs_none(const struct http_host *host)
{
	return host->name[0] == '[' || !resolve_needed(host->name);
}

bool
http_host_is_known(const struct http_host *host)
{
	return needs_none(host) ||
	       (host->entry.length > 0 &&
		   mono_ms_between(host->found_at, mono_now()) < FRESH_MS);
}

void
http_host_find(struct http_host *host)
{
	struct timeval limit = {.tv_sec = host->limit_ms / 1000,
	    .tv_usec = host->limit_ms % 1000 * 1000};

	if (evtimer_pending(host->timer, NULL))
		return;
	host->resolve =
	    resolve_start(host->base, host->name, on_resolved, host);
	if (host->resolve == NULL)
		limit = (struct timeval){0};
	event_add(host->timer, &limit);
}

const char *
http_host_entry(const struct http_host *host)
{
	return needs_none(host) ? NULL : text_string(&host->entry);
}

void
http_host_doubt(struct http_host *host)
{
	text_clear(&host->entry);
}
