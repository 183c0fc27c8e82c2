#include "daemon/handlers/environment.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/text.h"

/* About the task; the configuration can't name these. */
enum own {
	OWN_TASK,
	OWN_FLOW,
	OWN_ATTEMPT,
	OWN_TOKEN,
	OWN_DEADLINE,
	OWN_INPUTS,
	OWN_KIND,   /* the same for all tasks of a handler */
	OWN_EVENTS, /* and for all of a worker, which has set it */
	OWN_COUNT
};

static const char *const own_names[OWN_COUNT] = {"MUSTER_TASK", "MUSTER_FLOW",
    "MUSTER_ATTEMPT", "MUSTER_TOKEN", "MUSTER_DEADLINE", "MUSTER_INPUTS",
    "MUSTER_KIND", "MUSTER_EVENTS"};

enum { OWN_SIZE = 80 }; /* a name and two 64-bit numbers */

struct environment {
	char **strings; /* owned, as are the first `count` of them */
	size_t count;
	char own[OWN_KIND][OWN_SIZE]; /* the strings that follow */
};

static bool
has_name(const char *string, const char *name)
{
	size_t length = strlen(name);

	return strncmp(string, name, length) == 0 && string[length] == '=';
}

static bool
is_own(const char *string)
{
	for (int i = 0; i < OWN_COUNT; i++)
		if (has_name(string, own_names[i]))
			return true;
	return false;
}

static char *
joined(const char *name, const char *value)
{
	struct text text = TEXT_EMPTY;

	text_addf(&text, "%s=%s", name, value);
	return text_steal(&text);
}

/* Takes `string` over; it replaces one of the same name. */
static void
set(struct environment *environment, char *string)
{
	size_t length = strcspn(string, "=");
	size_t at = 0;

	while (at < environment->count &&
	       (strncmp(environment->strings[at], string, length) != 0 ||
		   environment->strings[at][length] != '='))
		at++;
	if (at < environment->count)
		free(environment->strings[at]);
	else
		environment->count++;
	environment->strings[at] = string;
}

static void
set_inherited(struct environment *environment)
{
	static const struct {
		const char *name, *otherwise;
	} inherited[] = {
	    {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
		     "/sbin:/bin"},
	    {"HOME", "/"},
	    {"LANG", "C.UTF-8"},
	    {"TZ", NULL},
	    {"MUSTER_EVENTS", NULL},
	};

	for (size_t i = 0; i < sizeof(inherited) / sizeof(inherited[0]); i++) {
		const char *value = getenv(inherited[i].name);

		if (value == NULL)
			value = inherited[i].otherwise;
		if (value != NULL)
			set(environment, joined(inherited[i].name, value));
	}
}

static size_t
count_of(char *const *strings)
{
	size_t count = 0;

	while (strings != NULL && strings[count] != NULL)
		count++;
	return count;
}

struct environment *
environment_new(const struct handler_config *config)
{
	struct environment *environment = calloc(1, sizeof(*environment));
	size_t named = count_of(config->environment);

	if (environment == NULL)
		abort();
	environment->strings =
	    calloc(6 + named + OWN_COUNT + 1, sizeof(char *));
	if (environment->strings == NULL)
		abort();
	set_inherited(environment);
	set(environment, joined("MUSTER_LOG", "json"));
	for (size_t i = 0; i < named; i++) {
		const char *string = config->environment[i];

		if (!is_own(string) && strchr(string, '=') != NULL) {
			struct text copy = TEXT_EMPTY;

			text_add_string(&copy, string);
			set(environment, text_steal(&copy));
		}
	}
	set(environment, joined(own_names[OWN_KIND], config->kind));
	for (int i = 0; i < OWN_KIND; i++)
		environment->strings[environment->count + (size_t)i] =
		    environment->own[i];
	return environment;
}

struct environment *
environment_free(struct environment *environment)
{
	if (environment == NULL)
		return NULL;
	for (size_t i = 0; i < environment->count; i++)
		free(environment->strings[i]);
	free(environment->strings);
	free(environment);
	return NULL;
}

__attribute__((format(printf, 3, 4))) static void
set_own(
    struct environment *environment, enum own which, const char *format, ...)
{
	char *string = environment->own[which];
	int length = snprintf(string, OWN_SIZE, "%s=", own_names[which]);
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(
	    string + length, (size_t)(OWN_SIZE - length), format, arguments);
	va_end(arguments);
}

/* Unix time with milliseconds at which its time limit ends. */
static void
set_deadline(struct environment *environment, const struct task *task)
{
	int64_t left_ms =
	    task->timeout_ms - mono_ms_between(task->started, mono_now());
	int64_t at_ms = wall_now_us() / 1000 + left_ms;

	if (task->timeout_ms > 0)
		set_own(environment, OWN_DEADLINE, "%" PRId64 ".%03d",
		    at_ms / 1000, (int)(at_ms % 1000));
	else
		set_own(environment, OWN_DEADLINE, "%s", "");
}

char *const *
environment_for(
    struct environment *environment, const struct task *task, int inputs)
{
	set_own(environment, OWN_TASK, "%" PRId64, task->id);
	set_own(environment, OWN_ATTEMPT, "%d", task->attempt);
	set_own(environment, OWN_TOKEN, "%" PRId64 "-%" PRId64, task->lease,
	    task->id);
	if (task->flow != 0)
		set_own(environment, OWN_FLOW, "%" PRId64, task->flow);
	else
		set_own(environment, OWN_FLOW, "%s", "");
	set_own(
	    environment, OWN_INPUTS, "/proc/%d/fd/%d", (int)getpid(), inputs);
	set_deadline(environment, task);
	return environment->strings;
}

char *const *
environment_alone(struct environment *environment, size_t max_message)
{
	char **string = environment->strings + environment->count;

	for (int i = 0; i < 2; i++)
		string[i] = environment->own[i];
	(void)snprintf(string[0], OWN_SIZE, "MUSTER_FD=3");
	(void)snprintf(
	    string[1], OWN_SIZE, "MUSTER_MAX_MESSAGE=%zu", max_message);
	string[2] = NULL;
	return environment->strings;
}

const char *
environment_value(const struct environment *environment, const char *name)
{
	for (size_t i = 0; i < environment->count; i++)
		if (has_name(environment->strings[i], name))
			return environment->strings[i] + strlen(name) + 1;
	return NULL;
}
