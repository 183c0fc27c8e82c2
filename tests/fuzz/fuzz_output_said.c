/* Lines that handlers' programs write: daemon/handlers/output_said.h. */
#include "daemon/handlers/output_said.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct output_said said;

	if (!output_said_read((const char *)bytes, size, &said))
		return 0;
	MUST(said.level >= LOG_LEVEL_ERROR && said.level <= LOG_LEVEL_DEBUG);
	MUST(said.task >= 0);
	MUST(said.count <= LOG_FIELDS);
	MUST(utf8_is_valid(text_string(&said.message), said.message.length));
	for (size_t i = 0; i < said.count; i++) {
		const struct log_field *field = &said.fields[i];

		MUST(field->name_length > 0);
		MUST(utf8_is_valid(field->name, field->name_length));
		MUST(utf8_is_valid(field->value, field->value_length));
	}
	output_said_free(&said);
	return 0;
}
