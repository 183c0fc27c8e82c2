#include "supervisor/notify.h"

#include <errno.h>
#include <event2/event.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/text.h"

enum { WAITING_LIMIT = 4096, AGAIN_MS = 100 };

struct notify {
	int fd; /* -1: nobody to tell */
	struct sockaddr_un address;
	socklen_t address_size;
	struct text waiting; /* not taken by the socket yet */
	char *status;	     /* last sent; owned */
	int64_t watchdog_ms;
	struct event *again, *ping;
};

/* The address in NOTIFY_SOCKET; '@' stands for an abstract one. */
static bool
address_parse(struct notify *notify, const char *path)
{
	size_t length = strlen(path);
	if ((path[0] != '/' && path[0] != '@') || length < 2 ||
	    length >= sizeof notify->address.sun_path)
		return false;
	notify->address.sun_family = AF_UNIX;
	memcpy(notify->address.sun_path, path, length + 1);
	if (path[0] == '@')
		notify->address.sun_path[0] = '\0';
	notify->address_size =
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	return true;
}

static int64_t
watchdog_from_environment(void)
{
	const char *us = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	if (!us || (pid && strtol(pid, NULL, 10) != (long)getpid()))
		return 0;
	int64_t ms = strtoll(us, NULL, 10) / 1000;
	return ms > 0 ? ms : 0;
}

static void
flush(struct notify *notify)
{
	struct timeval again = {.tv_usec = AGAIN_MS * 1000};
	ssize_t sent = sendto(notify->fd, notify->waiting.data,
	    notify->waiting.length, MSG_NOSIGNAL | MSG_DONTWAIT,
	    (struct sockaddr *)&notify->address, notify->address_size);
	if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS))
		event_add(notify->again, &again);
	else
		text_clear(&notify->waiting);
}

static void
on_again(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	flush(argument);
}

static void
notify_send(struct notify *notify, const char *message)
{
	if (notify->fd < 0)
		return;
	bool wait = notify->waiting.length > 0;
	if (notify->waiting.length + strlen(message) > WAITING_LIMIT)
		return;
	if (wait)
		text_add_char(&notify->waiting, '\n');
	text_add_string(&notify->waiting, message);
	if (!wait)
		flush(notify);
}

/* The loop turns, and whatever child is silent is being dealt with there. */
static void
on_ping(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	notify_send(argument, "WATCHDOG=1");
}

static void
ping_start(struct notify *notify)
{
	int64_t us = notify->watchdog_ms * 1000 / 2;
	struct timeval half = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};
	if (notify->watchdog_ms > 0)
		event_add(notify->ping, &half);
}

struct notify *
notify_new(struct event_base *base)
{
	struct notify *notify = calloc(1, sizeof *notify);
	if (!notify)
		abort();
	notify->fd = -1;
	notify->again = evtimer_new(base, on_again, notify);
	notify->ping = event_new(base, -1, EV_PERSIST, on_ping, notify);
	if (!notify->again || !notify->ping)
		abort();
	const char *path = getenv("NOTIFY_SOCKET");
	if (path && address_parse(notify, path))
		notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (notify->fd >= 0)
		notify->watchdog_ms = watchdog_from_environment();
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	ping_start(notify);
	return notify;
}

struct notify *
notify_free(struct notify *notify)
{
	if (!notify)
		return NULL;
	event_free(notify->again);
	event_free(notify->ping);
	if (notify->fd >= 0)
		close(notify->fd);
	text_free(&notify->waiting);
	free(notify->status);
	free(notify);
	return NULL;
}

int64_t
notify_watchdog_ms(const struct notify *notify)
{
	return notify->watchdog_ms;
}

void
notify_ready(struct notify *notify)
{
	notify_send(notify, "READY=1");
}

/* Newer versions of systemd refuse it without the time. */
void
notify_reloading(struct notify *notify)
{
	struct text message = TEXT_EMPTY;
	text_addf(&message, "RELOADING=1\nMONOTONIC_USEC=%lld",
	    (long long)mono_now().us);
	notify_send(notify, text_string(&message));
	text_free(&message);
}

void
notify_stopping(struct notify *notify)
{
	notify_send(notify, "STOPPING=1");
}

void
notify_extend(struct notify *notify, int64_t ms)
{
	struct text message = TEXT_EMPTY;
	text_addf(&message, "EXTEND_TIMEOUT_USEC=%lld", (long long)ms * 1000);
	notify_send(notify, text_string(&message));
	text_free(&message);
}

void
notify_status(struct notify *notify, const char *status)
{
	if (notify->status && strcmp(notify->status, status) == 0)
		return;
	free(notify->status);
	notify->status = strdup(status);
	struct text message = TEXT_EMPTY;
	text_add_string(&message, "STATUS=");
	text_add_escaped(&message, status, strlen(status));
	notify_send(notify, text_string(&message));
	text_free(&message);
}
