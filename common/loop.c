#include "common/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/busy.h"
#include "common/log.h"
#include "common/text.h"

/* The tick: often enough for the lag to be a fair sample, seldom enough for
 * an idle machine. */
enum { TICK_MS = 100, SLOW_MS = 100, FLUSH_STEP_MS = 5, FLUSH_LIMIT_MS = 1000 };

struct loop {
	struct event_base *base;
	struct procmsg_channel *channel; /* NULL: the supervisor is gone */
	struct scoreboard *board;
	uint64_t generation;
	const struct loop_callbacks *callbacks;
	void *argument;
	int timer_fd;
	struct event *tick;
	struct mono due; /* when the next tick is to come */
	char *status;	 /* last sent; owned */
	struct event *stopping;
	struct mono stop_asked;
	int exit_code;
};

static void
on_tick(evutil_socket_t fd, short what, void *argument)
{
	(void)what;
	struct loop *loop = argument;
	uint64_t expired;
	if (read(fd, &expired, sizeof expired) != sizeof expired)
		return;
	int64_t late = mono_us_between(loop->due, mono_now());
	histogram_add(scoreboard_lag(loop->board), late > 0 ? late : 0);
	loop->due = mono_add_ms(loop->due, (int64_t)expired * TICK_MS);
	scoreboard_tick(loop->board);
}

static bool
start_tick(struct loop *loop)
{
	loop->timer_fd =
	    timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (loop->timer_fd < 0)
		return false;
	struct itimerspec spec = {
	    .it_interval = {.tv_nsec = TICK_MS * 1000000L},
	    .it_value = {.tv_nsec = TICK_MS * 1000000L},
	};
	loop->due = mono_add_ms(mono_now(), TICK_MS);
	if (timerfd_settime(loop->timer_fd, 0, &spec, NULL) < 0)
		return false;
	loop->tick = event_new(
	    loop->base, loop->timer_fd, EV_READ | EV_PERSIST, on_tick, loop);
	scoreboard_tick(loop->board);
	return loop->tick != NULL && event_add(loop->tick, NULL) == 0;
}

static struct config *
read_config(int fd)
{
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0)
		return NULL;
	size_t size = (size_t)st.st_size;
	void *blob = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (blob == MAP_FAILED)
		return NULL;
	struct error error = {0};
	struct config *config = config_decode(blob, size, &error);
	if (config == NULL)
		log_error("configuration not understood: %s", error.text);
	munmap(blob, size);
	return config;
}

static void
take_config(struct loop *loop, const struct procmsg *message)
{
	struct config *config = read_config(message->fd);
	if (config != NULL)
		loop->callbacks->on_config(
		    config, message->generation, loop->argument);
}

static void
take_drain(struct loop *loop, const struct procmsg *message)
{
	int64_t limits[2];
	if (message->size != sizeof limits)
		return;
	memcpy(limits, message->body, sizeof limits);
	loop->callbacks->on_drain(limits[0], limits[1], loop->argument);
}

static void
take_log_level(const struct procmsg *message)
{
	int32_t level;
	if (message->size != sizeof level)
		return;
	memcpy(&level, message->body, sizeof level);
	if (level >= LOG_LEVEL_ERROR && level <= LOG_LEVEL_DEBUG)
		log_set_level((enum log_level)level);
}

static void
on_message(const struct procmsg *message, void *argument)
{
	struct loop *loop = argument;
	struct busy busy = busy_enter("supervisor's message");
	bool fd_is_ours = true;
	switch (message->type) {
	case PROCMSG_CONFIG:
		take_config(loop, message);
		break;
	case PROCMSG_DRAIN:
		take_drain(loop, message);
		break;
	case PROCMSG_LOG_LEVEL:
		take_log_level(message);
		break;
	case PROCMSG_LOG_STATE:
		loop->callbacks->on_log_state(loop->argument);
		break;
	default:
		fd_is_ours = loop->callbacks->on_message == NULL;
		if (!fd_is_ours)
			loop->callbacks->on_message(message, loop->argument);
		break;
	}
	if (fd_is_ours && message->fd >= 0)
		close(message->fd);
	busy_leave(busy);
}

static void
on_end(const char *reason, void *argument)
{
	struct loop *loop = argument;
	loop->channel = procmsg_channel_free(loop->channel);
	struct busy busy = busy_enter("end of the supervisor");
	loop->callbacks->on_orphan(reason, loop->argument);
	busy_leave(busy);
}

static void
on_libevent_log(int severity, const char *text)
{
	if (severity == EVENT_LOG_DEBUG)
		return;
	log_write(
	    severity == EVENT_LOG_ERR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
	    LOG_PLAIN, NULL, "libevent: %s", text);
}

static struct event_base *
new_base(void)
{
	event_set_log_callback(on_libevent_log);
	struct event_config *config = event_config_new();
	if (config == NULL)
		return NULL;
	event_config_set_flag(
	    config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_PRECISE_TIMER);
	struct event_base *base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

static void on_stopping(evutil_socket_t fd, short what, void *argument);

struct loop *
loop_new(struct child_start *start, const struct loop_callbacks *callbacks,
    void *argument)
{
	struct loop *loop = calloc(1, sizeof *loop);
	if (loop == NULL)
		abort();
	loop->board = start->scoreboard;
	start->scoreboard = NULL;
	loop->generation = start->generation;
	loop->callbacks = callbacks;
	loop->argument = argument;
	loop->timer_fd = -1;
	busy_open(loop->board, SLOW_MS);
	loop->base = new_base();
	if (loop->base != NULL) {
		loop->channel = procmsg_channel_new(
		    loop->base, CHILD_FD_CHANNEL, on_message, on_end, loop);
		loop->stopping = evtimer_new(loop->base, on_stopping, loop);
	}
	if (loop->channel != NULL && loop->stopping != NULL && start_tick(loop))
		return loop;
	log_error("cannot start the event loop: %s", strerror(errno));
	return loop_free(loop);
}

struct loop *
loop_free(struct loop *loop)
{
	if (loop == NULL)
		return NULL;
	busy_open(NULL, 0);
	if (loop->tick != NULL)
		event_free(loop->tick);
	if (loop->stopping != NULL)
		event_free(loop->stopping);
	if (loop->timer_fd >= 0)
		close(loop->timer_fd);
	procmsg_channel_free(loop->channel);
	if (loop->base != NULL)
		event_base_free(loop->base);
	scoreboard_free(loop->board);
	free(loop->status);
	free(loop);
	return NULL;
}

struct event_base *
loop_base(const struct loop *loop)
{
	return loop->base;
}

struct scoreboard *
loop_scoreboard(const struct loop *loop)
{
	return loop->board;
}

uint64_t
loop_generation(const struct loop *loop)
{
	return loop->generation;
}

int
loop_run(struct loop *loop)
{
	event_base_dispatch(loop->base);
	return loop->exit_code;
}

/* Ends the loop once the supervisor has what was sent to it. */
static void
on_stopping(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what;
	struct loop *loop = argument;
	int64_t waited = mono_ms_between(loop->stop_asked, mono_now());
	struct timeval step = {.tv_usec = FLUSH_STEP_MS * 1000};
	if (loop->channel != NULL && procmsg_pending(loop->channel) > 0 &&
	    waited < FLUSH_LIMIT_MS)
		event_add(loop->stopping, &step);
	else
		event_base_loopexit(loop->base, NULL);
}

void
loop_stop(struct loop *loop, int exit_code)
{
	struct timeval soon = {0};
	loop->exit_code = exit_code;
	loop->stop_asked = mono_now();
	event_add(loop->stopping, &soon);
}

void
loop_send(
    struct loop *loop, enum procmsg_type type, const void *body, size_t size)
{
	if (loop->channel == NULL)
		return;
	int r =
	    procmsg_send(loop->channel, type, loop->generation, body, size, -1);
	if (r < 0)
		log_debug("message %d to the supervisor is lost: %s", (int)type,
		    strerror(-r));
}

void
loop_config_taken(struct loop *loop, uint64_t generation)
{
	loop->generation = generation;
	loop_send(loop, PROCMSG_CONFIG_TAKEN, NULL, 0);
}

void
loop_status(struct loop *loop, const char *format, ...)
{
	char status[256];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(status, sizeof status, format, arguments);
	va_end(arguments);
	if (loop->status != NULL && strcmp(loop->status, status) == 0)
		return;
	free(loop->status);
	loop->status = strdup(status);
	loop_send(loop, PROCMSG_STATUS, status, strlen(status));
}
