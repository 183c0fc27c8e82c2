/*
 * http PROCESSES CONNECTIONS SECONDS URL: what libcurl can send at best. Each
 * process keeps its share of CONNECTIONS busy with requests such as the
 * daemon's, on epoll and nothing else; prints how many were answered a second.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/bench.h"

enum { MAX_FD = 4096, EVENTS = 64 };

static const char body[] = "{\"payload\":{},\"inputs\":{}}";

static const char *const lines[] = {"Content-Type: application/json",
    "Expect:", "Idempotency-Key: bench-1000000",
    "Muster-Fencing-Token: 1000000-1000000", "Muster-Task: 1000000",
    "Muster-Kind: hook", "Muster-Attempt: 1",
    "traceparent: 00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01"};

struct order {
	int connections, processes;
	long seconds;
	const char *url;
};

struct client {
	CURLM *multi;
	int epoll;
	int64_t due_us; /* libcurl's timer; -1: none */
	int64_t answered;
	uint32_t watched[MAX_FD]; /* what epoll looks for; 0: not in it */
};

static void
watch(struct client *client, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};
	int step = client->watched[fd] == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (client->watched[fd] == events)
		return;
	if (epoll_ctl(client->epoll, step, fd, &event) < 0)
		bench_die("epoll refuses a socket");
	client->watched[fd] = events;
}

/* A connection stays watched between two requests. */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *argument, void *unused)
{
	(void)easy, (void)unused;

	if (fd >= MAX_FD)
		bench_die("too many connections");
	if (what != CURL_POLL_REMOVE)
		watch(argument, fd,
		    ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0) |
			((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0));
	return 0;
}

static int
on_close(void *argument, curl_socket_t fd)
{
	struct client *client = argument;

	client->watched[fd] = 0;
	return close(fd);
}

static int
on_timer(CURLM *multi, long ms, void *argument)
{
	struct client *client = argument;

	(void)multi;
	client->due_us = ms < 0 ? -1 : bench_mono_us() + ms * 1000;
	return 0;
}

static size_t
on_bytes(char *bytes, size_t one, size_t size, void *argument)
{
	(void)bytes, (void)one, (void)argument;
	return size;
}

static CURL *
new_request(struct client *client, const char *url)
{
	struct curl_slist *list = NULL;
	CURL *easy = curl_easy_init();
	CURLU *parts = curl_url();

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		list = curl_slist_append(list, lines[i]);
	if (curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK)
		bench_die("%s is no URL", url);
	curl_easy_setopt(easy, CURLOPT_CURLU, parts);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, client);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	return easy;
}

static void
start(struct client *client, CURL *easy)
{
	if (curl_multi_add_handle(client->multi, easy) != CURLM_OK)
		bench_die("libcurl takes no request");
}

/* What was answered is sent again. */
static void
take_answers(struct client *client)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
		CURL *easy = message->easy_handle;

		if (message->data.result != CURLE_OK)
			bench_die(
			    "%s", curl_easy_strerror(message->data.result));
		curl_multi_remove_handle(client->multi, easy);
		client->answered++;
		start(client, easy);
	}
}

static void
act(struct client *client, int fd, uint32_t events)
{
	int flags = ((events & ~EPOLLOUT) != 0 ? CURL_CSELECT_IN : 0) |
		    ((events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0);
	int running;

	curl_multi_socket_action(client->multi, fd, flags, &running);
}

static void
turn(struct client *client)
{
	struct epoll_event events[EVENTS];
	int64_t left_us = client->due_us - bench_mono_us();
	int timeout = client->due_us < 0 ? -1
		      : left_us <= 0	 ? 0
					 : (int)(left_us / 1000) + 1;
	int count = epoll_wait(client->epoll, events, EVENTS, timeout);

	for (int i = 0; i < count; i++)
		act(client, events[i].data.fd, events[i].events);
	if (client->due_us >= 0 && bench_mono_us() >= client->due_us) {
		client->due_us = -1;
		act(client, CURL_SOCKET_TIMEOUT, 0);
	}
	take_answers(client);
}

static int64_t
work(int index, const void *argument)
{
	static struct client client;
	const struct order *order = argument;
	int64_t end_us;

	(void)index;
	client.multi = curl_multi_init();
	client.epoll = epoll_create1(EPOLL_CLOEXEC);
	client.due_us = -1;
	if (client.multi == NULL || client.epoll < 0)
		bench_die("no libcurl or no epoll");
	curl_multi_setopt(client.multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(client.multi, CURLMOPT_SOCKETDATA, &client);
	curl_multi_setopt(client.multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(client.multi, CURLMOPT_TIMERDATA, &client);
	bench_go();
	for (int i = 0; i < order->connections / order->processes; i++)
		start(&client, new_request(&client, order->url));
	end_us = bench_mono_us() + order->seconds * 1000000;
	while (bench_mono_us() < end_us)
		turn(&client);
	return client.answered;
}

int
main(int argc, char **argv)
{
	struct order order = {0};
	int64_t us, total;

	if (argc != 5)
		bench_die("usage: http PROCESSES CONNECTIONS SECONDS URL");
	order.processes = (int)bench_number(argv[1], 1);
	order.connections = (int)bench_number(argv[2], order.processes);
	order.seconds = bench_number(argv[3], 1);
	order.url = argv[4];
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		bench_die("no libcurl");
	us = bench_processes(order.processes, work, &order, &total);
	printf("%.0f\n", (double)total * 1e6 / (double)us);
	return 0;
}
