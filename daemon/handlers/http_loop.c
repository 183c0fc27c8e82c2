#include "daemon/handlers/http_loop.h"

#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/busy.h"
#include "common/log.h"
#include "daemon/handlers/http_watch.h"

enum {
	IDLE_CONNECTIONS = 256, /* kept at most */
	STREAMS = 100,		/* of an HTTP/2 connection */
};

struct http_loop {
	struct event_base *base;
	CURLM *multi;
	bool connects;
	struct http_watches *watches;
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

/* libcurl closes its own when it is rid of the handle. */
static int
socket_of(CURL *easy)
{
	curl_socket_t socket = -1;

	(void)curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &socket);
	return fcntl(socket, F_DUPFD_CLOEXEC, 0);
}

static void
report_ended(struct http_loop *loop)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(loop->multi, &left)) != NULL) {
		CURL *easy = message->easy_handle;
		CURLcode code = message->data.result;
		int socket = -1;

		if (message->msg != CURLMSG_DONE)
			continue;
		if (loop->connects && code == CURLE_OK &&
		    (socket = socket_of(easy)) < 0)
			code = CURLE_COULDNT_CONNECT;
		http_loop_stop(loop, easy);
		loop->on_ended(easy, code, socket, loop->argument);
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
on_ready(int fd, bool in, bool out, void *argument)
{
	act(argument, fd,
	    (in ? CURL_CSELECT_IN : 0) | (out ? CURL_CSELECT_OUT : 0));
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

	(void)easy, (void)socket_argument;
	if (what == CURL_POLL_REMOVE)
		what = CURL_POLL_NONE;
	http_watches_want(loop->watches, socket, (what & CURL_POLL_IN) != 0,
	    (what & CURL_POLL_OUT) != 0);
	return 0;
}

static int
on_close(void *argument, curl_socket_t socket)
{
	struct http_loop *loop = argument;

	http_watches_closing(loop->watches, socket);
	return close(socket);
}

/* The one place where a connection begins: by the address that is connected
 * to, so it does not matter what a name stood for before or after. */
static curl_socket_t
on_open(void *argument, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_opening *opening = argument;
	int fd;

	if (purpose != CURLSOCKTYPE_IPCXN)
		return CURL_SOCKET_BAD;
	if (!opening->allow_private &&
	    !http_address_is_public(&address->addr)) {
		http_address_format(&address->addr, opening->refused);
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family,
	    address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    address->protocol);
	if (fd >= 0)
		http_watches_opened(opening->loop->watches, fd);
	return fd;
}

static int
on_timer_wish(CURLM *multi, long ms, void *argument)
{
	struct http_loop *loop = argument;

	(void)multi;
	if (ms < 0)
		event_del(loop->timer);
	else
		arm(loop, ms);
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
http_loop_new(struct event_base *base, bool connects,
    http_loop_ended_cb *on_ended, void *argument)
{
	struct http_loop *loop = calloc(1, sizeof(*loop));

	if (loop == NULL)
		abort();
	loop->base = base;
	loop->connects = connects;
	loop->on_ended = on_ended;
	loop->argument = argument;
	loop->watches = http_watches_new(base, on_ready, loop);
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
	must(curl_multi_cleanup(loop->multi)); /* closes the sockets */
	(void)http_watches_free(loop->watches);
	event_free(loop->timer);
	free(loop);
	return NULL;
}

/* Options are refused only by a libcurl that was built without them. */
#define MUST(call)                                                             \
	do {                                                                   \
		if ((call) != CURLE_OK)                                        \
			abort();                                               \
	} while (0)

void
http_loop_prepare(
    struct http_loop *loop, CURL *easy, struct http_opening *opening)
{
	opening->loop = loop;
	MUST(
	    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, (long)loop->connects));
	MUST(curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open));
	MUST(curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, opening));
	MUST(curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close));
	MUST(curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, loop));
}

void
http_loop_start(struct http_loop *loop, CURL *easy)
{
	must(curl_multi_add_handle(loop->multi, easy));
}

/* The end of a pause is what makes libcurl read though the socket says nothing,
 * and only the next transfer of the connection. What comes of it is reported
 * from the timer. */
void
http_loop_nudge(struct http_loop *loop, CURL *easy)
{
	int running;

	(void)curl_easy_pause(easy, CURLPAUSE_SEND);
	(void)curl_easy_pause(easy, CURLPAUSE_SEND_CONT);
	must(curl_multi_socket_action(
	    loop->multi, CURL_SOCKET_TIMEOUT, 0, &running));
	arm(loop, 0);
}

void
http_loop_stop(struct http_loop *loop, CURL *easy)
{
	must(curl_multi_remove_handle(loop->multi, easy));
}
