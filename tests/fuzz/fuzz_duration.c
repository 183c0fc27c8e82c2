/* Durations and sizes: common/duration.h. */
#include <string.h>

#include "common/duration.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct text word = TEXT_EMPTY, again = TEXT_EMPTY;
	int64_t value, same;

	text_add(&word, bytes, size);
	if (duration_parse(text_string(&word), &value) == 0) {
		duration_format(value, &again);
		MUST(duration_parse(text_string(&again), &same) == 0);
		MUST(same == value);
	}
	text_clear(&again);
	if (size_parse(text_string(&word), &value) == 0) {
		size_format(value, &again);
		MUST(size_parse(text_string(&again), &same) == 0);
		MUST(same == value);
	}
	text_free(&word);
	text_free(&again);
	return 0;
}
