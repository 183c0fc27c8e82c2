/* Results of tasks: common/json_text.h. */
#include "common/json_text.h"
#include "common/text.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const char *why = NULL;
	struct text string = TEXT_EMPTY;

	if (!utf8_is_valid((const char *)bytes, size))
		return 0;
	if (json_text_judge((const char *)bytes, size, &why) == JSON_TEXT_UNFIT)
		MUST(why != NULL);
	/* What is no JSON becomes a string, which must be some. */
	text_add_json_string(&string, (const char *)bytes, size);
	MUST(
	    json_text_judge(string.data, string.length, &why) == JSON_TEXT_FIT);
	text_free(&string);
	return 0;
}
