#include "supervisor/control.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	CLIENTS = 32,
	REQUEST_LIMIT = 4096,
	PATIENCE_S = 10,
	GROUPS = 256,
	BACKLOG = 32,
	AGAIN_MS = 200,
	CLIENT_MAGIC = 0x6d73636c,
};

struct control_client {
	uint32_t magic;
	struct control_client *next, **self; /* list, newest first */
	struct control *control;
	struct bufferevent *stream;
	uint64_t ticket; /* waited for; 0: none */
	bool answering;	 /* an answer is on its way out, or to come */
	bool closing;	 /* it sends no more; gone after its last answer */
	struct ucred peer;
};

struct control {
	struct event_base *base;
	struct evconnlistener *listener;
	struct event *again; /* pending: no connection is accepted */
	char path[sizeof((struct sockaddr_un *)0)->sun_path];
	control_cb *on_request;
	void *argument;
	struct control_client *clients;
	int count;
};

static void
client_free(struct control_client *client)
{
	assert(client->magic == CLIENT_MAGIC);
	*client->self = client->next;
	if (client->next)
		client->next->self = client->self;
	client->control->count--;
	bufferevent_free(client->stream);
	client->magic = 0;
	free(client);
}

/* Requests. */

static void
patience(struct control_client *client)
{
	struct timeval limit = {.tv_sec = PATIENCE_S};
	bufferevent_set_timeouts(client->stream,
	    client->ticket || client->answering ? NULL : &limit, &limit);
}

/* The next line, if there is one and the client waits for no answer. */
static void
serve(struct control_client *client)
{
	struct evbuffer *input = bufferevent_get_input(client->stream);
	if (client->ticket || client->answering)
		return;
	char *line = evbuffer_readln(input, NULL, EVBUFFER_EOL_LF);
	if (line) {
		client->answering = true;
		client->control->on_request(
		    client, line, client->control->argument);
		free(line);
	} else if (client->closing ||
		   evbuffer_get_length(input) >= REQUEST_LIMIT) {
		client_free(client);
	}
}

static void
on_input(struct bufferevent *stream, void *argument)
{
	(void)stream;
	serve(argument);
}

/* The answer has gone out. */
static void
on_output(struct bufferevent *stream, void *argument)
{
	struct control_client *client = argument;
	(void)stream;
	if (!client->answering || client->ticket)
		return;
	client->answering = false;
	patience(client);
	serve(client);
}

/* Its end, an error, too slow. One that only stopped sending gets the answers
 * to what it sent. */
static void
on_event(struct bufferevent *stream, short what, void *argument)
{
	struct control_client *client = argument;
	if (!(what & BEV_EVENT_EOF) || !client->answering) {
		client_free(client);
		return;
	}
	client->closing = true;
	bufferevent_disable(stream, EV_READ);
}

void
control_answer(struct control_client *client, const struct text *json)
{
	assert(client->magic == CLIENT_MAGIC);
	client->ticket = 0;
	client->answering = true;
	patience(client);
	bufferevent_write(client->stream, json->data, json->length);
	bufferevent_write(client->stream, "\n", 1);
}

void
control_wait(struct control_client *client, uint64_t ticket)
{
	client->ticket = ticket;
	patience(client);
}

void
control_answer_waiting(
    struct control *control, uint64_t ticket, const struct text *json)
{
	struct control_client *client = control ? control->clients : NULL;
	for (; client; client = client->next)
		if (client->ticket > 0 && client->ticket <= ticket)
			control_answer(client, json);
}

/* Who is at the other end. */

static bool
is_member(int fd, gid_t group)
{
	gid_t groups[GROUPS];
	socklen_t size = sizeof groups;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
		return false;
	for (size_t i = 0; i < size / sizeof *groups; i++)
		if (groups[i] == group)
			return true;
	return false;
}

bool
control_may_change(const struct control_client *client, gid_t admin_group)
{
	if (client->peer.uid == 0 || client->peer.uid == geteuid())
		return true;
	if (admin_group == (gid_t)-1)
		return false;
	return client->peer.gid == admin_group ||
	       is_member(bufferevent_getfd(client->stream), admin_group);
}

/* Connections. */

/* The oldest that waits for no verdict. */
static void
make_room(struct control *control)
{
	struct control_client *client = control->clients, *oldest = NULL;
	for (; client; client = client->next)
		if (!client->ticket || !client->next)
			oldest = client;
	if (control->count >= CLIENTS && oldest)
		client_free(oldest);
}

static void
client_link(struct control *control, struct control_client *client)
{
	client->control = control;
	client->next = control->clients;
	client->self = &control->clients;
	if (client->next)
		client->next->self = &client->next;
	control->clients = client;
	control->count++;
}

static void
on_accept(struct evconnlistener *listener, evutil_socket_t fd,
    struct sockaddr *address, int length, void *argument)
{
	struct control *control = argument;
	struct ucred peer;
	socklen_t size = sizeof peer;
	(void)listener;
	(void)address;
	(void)length;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
		close(fd);
		return;
	}
	make_room(control);
	struct control_client *client = calloc(1, sizeof *client);
	struct bufferevent *stream =
	    bufferevent_socket_new(control->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!client || !stream)
		abort();
	client->magic = CLIENT_MAGIC;
	client->stream = stream;
	client->peer = peer;
	client_link(control, client);
	bufferevent_setcb(stream, on_input, on_output, on_event, client);
	bufferevent_setwatermark(stream, EV_READ, 0, REQUEST_LIMIT);
	bufferevent_enable(stream, EV_READ | EV_WRITE);
	patience(client);
}

/* Out of descriptors, say: the connection would be offered again at once. */
static void
on_accept_error(struct evconnlistener *listener, void *argument)
{
	struct control *control = argument;
	struct timeval again = {.tv_usec = AGAIN_MS * 1000};
	evconnlistener_disable(listener);
	event_add(control->again, &again);
}

static void
on_again(evutil_socket_t fd, short what, void *argument)
{
	struct control *control = argument;
	(void)fd;
	(void)what;
	evconnlistener_enable(control->listener);
}

/* For everybody: what each may do is decided by who they are. */
static int
bind_socket(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)unlink(address->sun_path);
	if (bind(fd, (const struct sockaddr *)address, sizeof *address) < 0 ||
	    chmod(address->sun_path, 0666) < 0 || listen(fd, BACKLOG) < 0) {
		int saved = errno;
		close(fd);
		return -saved;
	}
	return fd;
}

struct control *
control_new(struct event_base *base, const char *runtime_dir,
    control_cb *on_request, void *argument, struct error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int length = snprintf(address.sun_path, sizeof address.sun_path,
	    "%s/control.sock", runtime_dir);
	int fd = -ENAMETOOLONG;
	if (length > 0 && (size_t)length < sizeof address.sun_path)
		fd = bind_socket(&address);
	if (fd < 0) {
		error_set(error, "cannot open the control socket %s: %s",
		    address.sun_path, strerror(-fd));
		return NULL;
	}
	struct control *control = calloc(1, sizeof *control);
	if (!control)
		abort();
	memcpy(control->path, address.sun_path, sizeof control->path);
	control->base = base;
	control->on_request = on_request;
	control->argument = argument;
	control->listener = evconnlistener_new(base, on_accept, control,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	control->again = evtimer_new(base, on_again, control);
	if (!control->listener || !control->again)
		abort();
	evconnlistener_set_error_cb(control->listener, on_accept_error);
	return control;
}

static void
flush_now(struct control_client *client)
{
	struct evbuffer *output = bufferevent_get_output(client->stream);
	bufferevent_disable(client->stream, EV_WRITE);
	if (evbuffer_get_length(output) > 0)
		(void)evbuffer_write(output, bufferevent_getfd(client->stream));
}

struct control *
control_free(struct control *control)
{
	if (!control)
		return NULL;
	(void)unlink(control->path);
	while (control->clients) {
		flush_now(control->clients);
		client_free(control->clients);
	}
	event_free(control->again);
	evconnlistener_free(control->listener);
	free(control);
	return NULL;
}
