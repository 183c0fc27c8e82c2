/* Answers of servers: daemon/handlers/http_wire.h. */
#include "daemon/handlers/http_wire.h"

#include <string.h>

#include "daemon/handlers/http_answer.h"
#include "tests/fuzz/fuzz.h"

enum { LIMIT = 1000 };

/* The first byte says in pieces of which size the others come. */
static void
take(struct http_wire *wire, struct http_answer *answer, const char *bytes,
    size_t size, size_t step)
{
	for (size_t at = 0; at < size;) {
		size_t piece = size - at < step ? size - at : step;
		size_t taken = http_wire_take(wire, answer, bytes + at, piece);

		MUST(taken <= piece);
		MUST(taken == piece || wire->state == HTTP_WIRE_DONE ||
		     wire->state == HTTP_WIRE_BROKEN);
		if (taken < piece)
			return;
		at += taken;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct http_wire one = {0}, other = {0};
	struct http_answer whole = {.limit = LIMIT}, parts = {.limit = LIMIT};
	const char *text = (const char *)bytes + 1;

	if (size < 2)
		return 0;
	take(&one, &whole, text, size - 1, size);
	take(&other, &parts, text, size - 1, bytes[0] % 16 + 1);
	http_wire_end(&one);
	http_wire_end(&other);
	MUST(one.state == HTTP_WIRE_DONE || one.state == HTTP_WIRE_BROKEN);
	MUST(one.state == other.state);
	if (one.state == HTTP_WIRE_DONE) {
		MUST(whole.head.status >= 200 && whole.head.status <= 999);
		MUST(whole.head.status == parts.head.status);
		MUST(one.keeps == other.keeps);
		MUST(whole.body.length == parts.body.length);
		MUST(whole.body.length <= LIMIT || whole.head.status >= 300);
	}
	http_wire_free(&one);
	http_wire_free(&other);
	http_answer_free(&whole);
	http_answer_free(&parts);
	return 0;
}
