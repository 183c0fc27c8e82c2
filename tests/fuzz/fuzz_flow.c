/* Flow files: ctl/flow.h. */
#include "common/json_text.h"
#include "ctl/flow.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct flow_errors errors = {0};
	struct flow *flow =
	    flow_parse("fuzz", (const char *)bytes, size, &errors);
	struct text json = TEXT_EMPTY;
	const char *why;

	MUST((flow == NULL) == (errors.count > 0));
	if (flow != NULL) {
		flow_json(flow, &json);
		MUST(utf8_is_valid(json.data, json.length));
		MUST(json_text_judge(json.data, json.length, &why) !=
		     JSON_TEXT_NONE);
	}
	text_free(&json);
	flow_errors_free(&errors);
	flow_free(flow);
	return 0;
}
