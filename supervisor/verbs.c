#include "supervisor/verbs.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "supervisor/child.h"
#include "supervisor/control.h"
#include "supervisor/generation.h"
#include "supervisor/status.h"
#include "supervisor/supervisor.h"
#include "supervisor/verdict.h"

static void
verb_status(struct supervisor *supervisor, struct control_client *client,
    const json_t *request)
{
	struct text json = TEXT_EMPTY;
	(void)request;
	status_json(supervisor, &json);
	control_answer(client, &json);
	text_free(&json);
}

static void
verb_reload(struct supervisor *supervisor, struct control_client *client,
    const json_t *request)
{
	(void)request;
	if (supervisor->state == SUPERVISOR_DRAINING)
		answer_error(
		    client, "musterd is stopping; nothing was reloaded");
	else
		control_wait(client, reload_request(supervisor));
}

static void
verb_drain(struct supervisor *supervisor, struct control_client *client,
    const json_t *request)
{
	(void)request;
	answer_ok(client);
	drain_begin(supervisor, "drain over the control socket");
}

static void
set_level(struct child *child, void *argument)
{
	int32_t *level = argument;
	child_send(child, PROCMSG_LOG_LEVEL, level, sizeof *level, -1);
}

static void
verb_log_level(struct supervisor *supervisor, struct control_client *client,
    const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "level"));
	enum log_level level;
	if (!name || !log_level_parse(name, &level)) {
		answer_error(client,
		    "\"level\" must be error, warning, notice, info or debug");
		return;
	}
	supervisor->log_level = (int)level;
	log_set_level(level);
	places_each(supervisor, set_level, &supervisor->log_level);
	log_notice("log level is now %s, until the next reload", name);
	answer_ok(client);
}

static void
verb_dump(struct supervisor *supervisor, struct control_client *client,
    const json_t *request)
{
	(void)request;
	status_log(supervisor);
	answer_ok(client);
}

static const struct verb {
	const char *name;
	bool changes; /* not for everybody */
	void (*run)(struct supervisor *supervisor,
	    struct control_client *client, const json_t *request);
} verbs[] = {
    {"status", false, verb_status},
    {"reload", true, verb_reload},
    {"drain", true, verb_drain},
    {"log-level", true, verb_log_level},
    {"dump", true, verb_dump},
};

static const struct verb *
verb_find(const char *name)
{
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static void
refuse_stranger(struct control_client *client, const struct verb *verb)
{
	char sentence[160];
	snprintf(sentence, sizeof sentence,
	    "permission denied: %s is for root, the service's user and the "
	    "members of admin_group",
	    verb->name);
	answer_error(client, sentence);
}

static void
dispatch(struct supervisor *supervisor, struct control_client *client,
    const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "verb"));
	const struct verb *verb = name ? verb_find(name) : NULL;
	if (!verb)
		answer_error(client,
		    "\"verb\" must be status, reload, drain, log-level or "
		    "dump");
	else if (verb->changes &&
		 !control_may_change(client, supervisor->current->admin_group))
		refuse_stranger(client, verb);
	else
		verb->run(supervisor, client, request);
}

void
verbs_request(struct control_client *client, const char *line, void *argument)
{
	struct supervisor *supervisor = argument;
	json_t *request = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(request))
		dispatch(supervisor, client, request);
	else
		answer_error(client, "a request is one JSON object a line");
	json_decref(request);
}
