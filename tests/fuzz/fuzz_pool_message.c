/* Messages of a pool's processes: daemon/handlers/pool_message.h. */
#include "common/json_text.h"
#include "daemon/handlers/pool_message.h"
#include "tests/fuzz/fuzz.h"

/* A part of the line that is one JSON value. */
static void
check_value(struct pool_span span, const char *line, size_t size)
{
	const char *why;

	if (span.at == NULL)
		return;
	MUST(span.at >= line && span.size > 0);
	MUST(span.size <= (size_t)(line + size - span.at));
	MUST(json_text_judge(span.at, span.size, &why) != JSON_TEXT_NONE);
}

static void
check_string(struct pool_span span)
{
	struct text text = TEXT_EMPTY;

	if (span.at != NULL)
		MUST(pool_span_string(span, &text));
	MUST(text.length <= span.size);
	text_free(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const char *line = (const char *)bytes;
	struct pool_message message;

	if (pool_message_read(line, size, &message) != NULL)
		return 0;
	check_value(message.data, line, size);
	check_value(message.kinds, line, size);
	check_value(message.text, line, size);
	check_string(message.text);
	MUST((message.type == POOL_HELLO) == (message.id == 0));
	if (message.type == POOL_HELLO)
		(void)pool_message_has_kind(&message, "resize");
	return 0;
}
