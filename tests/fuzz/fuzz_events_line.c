/* What programs write into a worker's FIFO: daemon/worker/events_line.h. */
#include "daemon/worker/events_line.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const char *text = (const char *)bytes;
	struct events_line line;
	struct json_value data;
	bool whole;

	if (!events_line_read(text, size, &line, &whole))
		return 0;
	MUST(line.task > 0 && line.lease > 0);
	if (line.kind == EVENTS_CHUNK) {
		MUST(line.data.at >= text &&
		     line.data.at + line.data.length <= text + size);
		MUST(json_value_of(line.data.at, line.data.length, &data));
	} else {
		MUST(utf8_is_valid(text_string(&line.note), line.note.length));
	}
	events_line_free(&line);
	return 0;
}
