/*
 * redis_probe URL
 *
 *	ask WORD…	a command; its answer is printed
 *	flood N SIZE	as many commands of that size, nobody asks
 *	free WHEN	frees the connection inside the next callback of a
 *			kind: up, down, reply
 *	again WHEN	sends PING from inside that callback
 *	drop		frees it from outside
 *	counts
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/redis.h"
#include "tests/integration/probes/probe.h"

enum { WORDS_MAX = 32 };

static struct redis *redis;
static char free_when[16], again_when[16];

static void ask(int argc, const char *const *argv);

static void
heard(const char *what)
{
	if (strcmp(again_when, what) == 0) {
		again_when[0] = '\0';
		ask(1, (const char *[]){"PING"});
	}
	if (strcmp(free_when, what) == 0) {
		free_when[0] = '\0';
		redis = redis_free(redis);
		probe_say("freed in %s", what);
	}
}

static void
on_state(bool up, const char *reason, void *argument)
{
	(void)argument;
	if (up)
		probe_say("up");
	else
		probe_say("down %s", reason);
	heard(up ? "up" : "down");
}

static void
on_reply(const char *const *items, size_t count, void *argument)
{
	(void)argument;
	if (items == NULL)
		probe_say("reply lost");
	for (size_t i = 0; items != NULL && i < count; i++)
		probe_say("reply %zu/%zu %s", i + 1, count,
		    items[i] != NULL ? items[i] : "nil");
	if (redis != NULL && redis_trouble(redis) != NULL)
		probe_say("trouble %s", redis_trouble(redis));
	heard("reply");
}

static void
ask(int argc, const char *const *argv)
{
	int r = redis != NULL
		    ? redis_ask(redis, argc, argv, NULL, on_reply, NULL)
		    : -1;
	if (r < 0)
		probe_say("refused %d", r);
}

static void
ask_line(char *rest)
{
	const char *words[WORDS_MAX];
	int count = 0;
	while (rest != NULL && count < WORDS_MAX)
		words[count++] = strsep(&rest, " ");
	ask(count, words);
}

static void
counts(void)
{
	probe_say("counts pending %zu dropped %llu", redis_pending(redis),
	    (unsigned long long)redis_dropped(redis));
}

static void
flood(char *rest)
{
	long n = strtol(strsep(&rest, " "), NULL, 10);
	size_t size = strtoul(rest, NULL, 10);
	char *bytes = malloc(size + 1);
	if (bytes == NULL)
		abort();
	memset(bytes, 'x', size);
	bytes[size] = '\0';
	const char *words[] = {"SET", "flood", bytes};
	while (n-- > 0)
		if (redis_command(redis, 3, words, NULL) < 0)
			continue;
	free(bytes);
	counts();
}

static void
on_order(char *line)
{
	char *rest = line;
	char *verb = strsep(&rest, " ");
	if (strcmp(verb, "ask") == 0) {
		ask_line(rest);
	} else if (strcmp(verb, "flood") == 0) {
		flood(rest);
	} else if (strcmp(verb, "free") == 0) {
		snprintf(free_when, sizeof free_when, "%s", rest);
	} else if (strcmp(verb, "again") == 0) {
		snprintf(again_when, sizeof again_when, "%s", rest);
	} else if (strcmp(verb, "drop") == 0) {
		redis = redis_free(redis);
		probe_say("dropped");
	} else {
		counts();
	}
}

int
main(int argc, char **argv)
{
	struct redis_address address;
	struct error error = {0};
	if (argc != 2)
		return 2;
	if (redis_address_parse(argv[1], &address, &error) < 0) {
		probe_say("bad %s", error.text);
		return 0;
	}
	struct event_base *base = event_base_new();
	redis = redis_new(base, &address, on_state, NULL);
	redis_address_free(&address);
	probe_run(base, on_order);
	redis = redis_free(redis);
	event_base_free(base);
	libevent_global_shutdown();
	return 0;
}
