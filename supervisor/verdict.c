#include "supervisor/verdict.h"

#include <string.h>

#include "supervisor/control.h"

void
answer_add_string(struct text *json, const char *bytes)
{
	struct text valid = TEXT_EMPTY;
	text_add_utf8(&valid, bytes, strlen(bytes), 4096);
	text_add_json_string(json, text_string(&valid), valid.length);
	text_free(&valid);
}

static void
add_error(struct text *json, const char *sentence)
{
	text_add_string(json, "{\"ok\":false,\"error\":");
	answer_add_string(json, sentence);
}

void
answer_ok(struct control_client *client)
{
	struct text json = TEXT_EMPTY;
	text_add_string(&json, "{\"ok\":true}");
	control_answer(client, &json);
	text_free(&json);
}

void
answer_error(struct control_client *client, const char *sentence)
{
	struct text json = TEXT_EMPTY;
	add_error(&json, sentence);
	text_add_char(&json, '}');
	control_answer(client, &json);
	text_free(&json);
}

void
verdict_accept(struct control *control, uint64_t ticket, uint64_t generation,
    const char *change)
{
	struct text json = TEXT_EMPTY;
	text_addf(&json, "{\"ok\":true,\"generation\":%llu,\"changed\":\"%s\"}",
	    (unsigned long long)generation, change);
	control_answer_waiting(control, ticket, &json);
	text_free(&json);
}

void
verdict_refuse(struct control *control, uint64_t ticket,
    const struct config_errors *errors)
{
	struct text json = TEXT_EMPTY;
	char line[sizeof(struct error)];
	add_error(&json, error_format(&errors->items[0], line, sizeof line));
	text_add_string(&json, ",\"errors\":[");
	for (size_t i = 0; i < errors->count; i++) {
		if (i > 0)
			text_add_char(&json, ',');
		answer_add_string(
		    &json, error_format(&errors->items[i], line, sizeof line));
	}
	text_add_string(&json, "]}");
	control_answer_waiting(control, ticket, &json);
	text_free(&json);
}

void
verdict_stopping(struct control *control)
{
	struct text json = TEXT_EMPTY;
	add_error(&json, "musterd is stopping; nothing was reloaded");
	text_add_char(&json, '}');
	control_answer_waiting(control, UINT64_MAX, &json);
	text_free(&json);
}
