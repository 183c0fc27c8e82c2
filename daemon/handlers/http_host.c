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
	bool needs_none; /* no look-up: the name is an address */
	struct text target, authority;
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

/* Owned by libcurl; NULL: the URL has no such part. */
static char *
part_of(const struct http_host *host, CURLUPart part, unsigned flags)
{
	char *text = NULL;

	(void)curl_url_get(host->url, part, &text, flags);
	return text;
}

static char *
copy_of(const char *text)
{
	char *copy = strdup(text != NULL ? text : "");

	if (copy == NULL)
		abort();
	return copy;
}

static void
split_url(struct http_host *host, const char *url)
{
	char *name, *port, *own_port, *path, *query;

	host->url = curl_url();
	if (host->url == NULL)
		abort();
	(void)curl_url_set(host->url, CURLUPART_URL, url, 0);
	name = part_of(host, CURLUPART_HOST, 0);
	port = part_of(host, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	own_port = part_of(host, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT);
	path = part_of(host, CURLUPART_PATH, 0);
	query = part_of(host, CURLUPART_QUERY, 0);
	host->name = copy_of(name);
	host->port = copy_of(port);
	text_addf(&host->authority, "%s%s%s", host->name,
	    own_port != NULL ? ":" : "", own_port != NULL ? own_port : "");
	text_addf(&host->target, "%s%s%s", path != NULL ? path : "/",
	    query != NULL ? "?" : "", query != NULL ? query : "");
	curl_free(name);
	curl_free(port);
	curl_free(own_port);
	curl_free(path);
	curl_free(query);
}

/* One of IPv6 stands in brackets, and libcurl refuses what it cannot read. */
static bool
is_address(const char *name)
{
	return name[0] == '[' || !resolve_needed(name);
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
	host->needs_none = is_address(host->name);
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
	text_free(&host->target);
	text_free(&host->authority);
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

const char *
http_host_target(const struct http_host *host)
{
	return text_string(&host->target);
}

const char *
http_host_authority(const struct http_host *host)
{
	return text_string(&host->authority);
}

CURLU *
http_host_url(const struct http_host *host)
{
	return host->url;
}

bool
http_host_is_known(const struct http_host *host)
{
	return host->needs_none ||
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
	return host->needs_none ? NULL : text_string(&host->entry);
}

void
http_host_doubt(struct http_host *host)
{
	text_clear(&host->entry);
}
