#include "daemon/handlers/http_loop.h"

#include <event2/event.h>
#include <stdlib.h>

#include "common/busy.h"
#include "common/log.h"

enum {
	IDLE_CONNECTIONS = 256, /* kept at most */
	STREAMS = 100,		/* of an HTTP/2 connection */
};

struct http_loop {
	struct event_base *base;
	CURLM *multi;
	struct event *timer;
	http_loop_ended_cb *on_ended;
	void *argument;
};

/* Out of memory, or an error in libcurl: nothing of it can be trusted. */
static void
must(CURLMcode code)
{
	if (code == CURLM_OK)
		return;
	log_error("libcurl: %s", curl_multi_strerror(code));
	abort();
}

static void
report_ended(struct http_loop *loop)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(loop->multi, &left)) != NULL) {
		CURL *easy = message->easy_handle;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		http_loop_stop(loop, easy);
		loop->on_ended(easy, code, loop->argument);
	}
}

static void
act(struct http_loop *loop, curl_socket_t socket, int what)
{
	struct busy busy = busy_enter("http transfers");
	int running;
	CURLMcode code =
	    curl_multi_socket_action(loop->multi, socket, what, &running);

	if (code != CURLM_BAD_SOCKET) /* one that was closed meanwhile */
		must(code);
	report_ended(loop);
	busy_leave(busy);
}

static void
on_socket_event(evutil_socket_t fd, short what, void *argument)
{
	int flags = 0;

	if ((what & EV_READ) != 0)
		flags |= CURL_CSELECT_IN;
	if ((what & EV_WRITE) != 0)
		flags |= CURL_CSELECT_OUT;
	act(argument, fd, flags);
}

static void
arm(struct http_loop *loop, long ms)
{
	struct timeval after = {
	    .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	event_add(loop->timer, &after);
}

/* The loop's clock is coarser than libcurl's. Come too early, libcurl does
 * nothing, and does not ask again for a time that it has asked for. */
static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct http_loop *loop = argument;
	long ms = -1;

	act(loop, CURL_SOCKET_TIMEOUT, 0);
	if (evtimer_pending(loop->timer, NULL))
		return;
	must(curl_multi_timeout(loop->multi, &ms));
	if (ms >= 0)
		arm(loop, ms);
}

/* libcurl wants other events of a socket, or has done with it. Its callbacks
 * only arm: it may not be called from them. */
static int
on_socket(CURL *easy, curl_socket_t socket, int what, void *argument,
    void *socket_argument)
{
	struct http_loop *loop = argument;
	struct event *event = socket_argument;
	short flags = EV_PERSIST;

	(void)easy;
	if (event != NULL)
		event_free(event);
	event = NULL;
	if ((what & CURL_POLL_IN) != 0)
		flags |= EV_READ;
	if ((what & CURL_POLL_OUT) != 0)
		flags |= EV_WRITE;
	if (flags != EV_PERSIST) {
		event =
		    event_new(loop->base, socket, flags, on_socket_event, loop);
		if (event == NULL || event_add(event, NULL) < 0)
			abort();
	}
	(void)curl_multi_assign(loop->multi, socket, event);
	return 0;
}

static int
on_timer_wish(CURLM *multi, long ms, void *argument)
{
	struct http_loop *loop = argument;
	struct timeval after = {
	    .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	(void)multi;
	if (ms < 0)
		event_del(loop->timer);
	else
		event_add(loop->timer, &after);
	return 0;
}

static void
configure(struct http_loop *loop)
{
	CURLM *multi = loop->multi;

	must(curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket));
	must(curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, loop));
	must(curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer_wish));
	must(curl_multi_setopt(multi, CURLMOPT_TIMERDATA, loop));
	must(curl_multi_setopt(
	    multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS));
	must(curl_multi_setopt(
	    multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)STREAMS));
}

struct http_loop *
http_loop_new(
    struct event_base *base, http_loop_ended_cb *on_ended, void *argument)
{
	struct http_loop *loop = calloc(1, sizeof(*loop));

	if (loop == NULL)
		abort();
	loop->base = base;
	loop->on_ended = on_ended;
	loop->argument = argument;
	loop->timer = evtimer_new(base, on_timer, loop);
	loop->multi = curl_multi_init();
	if (loop->timer == NULL || loop->multi == NULL)
		abort();
	configure(loop);
	return loop;
}

struct http_loop *
http_loop_free(struct http_loop *loop)
{
	if (loop == NULL)
		return NULL;
	must(curl_multi_cleanup(loop->multi)); /* frees the sockets' events */
	event_free(loop->timer);
	free(loop);
	return NULL;
}

void
http_loop_start(struct http_loop *loop, CURL *easy)
{
	must(curl_multi_add_handle(loop->multi, easy));
}

void
http_loop_stop(struct http_loop *loop, CURL *easy)
{
	must(curl_multi_remove_handle(loop->multi, easy));
}
