/* Bytes of strangers: what a handler wrote, what a file holds. */
#include "common/text.h"

#include <string.h>

/* The least code point that needs as many bytes as the index says. */
static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

/* How many bytes the character at `bytes` has, 0: it is no valid UTF-8;
 * surrogates, overlong forms and code points past U+10FFFF are not. */
static size_t
character(const char *bytes, size_t left, uint32_t *ret_code)
{
	unsigned char first = (unsigned char)bytes[0];
	uint32_t code;
	size_t length;

	if (first < 0x80) {
		*ret_code = first;
		return 1;
	}
	length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
	if (first < 0xc2 || first > 0xf4 || length > left)
		return 0;
	code = first & (0xffu >> (length + 1));
	for (size_t i = 1; i < length; i++) {
		if (((unsigned char)bytes[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | ((unsigned char)bytes[i] & 0x3f);
	}
	if (code < least[length] || code > 0x10ffff ||
	    (code >= 0xd800 && code < 0xe000))
		return 0;
	*ret_code = code;
	return length;
}

/* Whether the eight bytes are 0x01 … 0x7f: of these, only 0 has a high bit
 * after the subtraction, and bytes above stand out by their own. */
static bool
are_plain(const char *bytes)
{
	static const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return ((word | (word - ones)) & (ones << 7)) == 0;
}

bool
utf8_is_valid(const char *bytes, size_t length)
{
	uint32_t code;
	size_t step;

	for (size_t at = 0; at < length; at += step) {
		if (length - at >= sizeof(uint64_t) && are_plain(bytes + at)) {
			step = sizeof(uint64_t);
			continue;
		}
		step = character(bytes + at, length - at, &code);
		if (step == 0 || code == 0)
			return false;
	}
	return true;
}

void
text_add_utf8(struct text *text, const char *bytes, size_t length, size_t limit)
{
	static const char replacement[] = "\xef\xbf\xbd";
	size_t end = text->length + limit;
	size_t step;

	text_add(text, "", 0);
	for (size_t at = 0; at < length; at += step) {
		uint32_t code = 0;
		size_t valid = character(bytes + at, length - at, &code);
		const char *from = bytes + at;

		step = valid;
		if (code == 0) {
			from = replacement;
			valid = 3;
			step = 1;
		}
		if (text->length + valid > end)
			return;
		text_add(text, from, valid);
	}
}

static void
add_control(struct text *text, uint32_t code)
{
	if (code == '\n')
		text_add_string(text, "\\n");
	else if (code == '\t')
		text_add_string(text, "\\t");
	else if (code == '\r')
		text_add_string(text, "\\r");
	else
		text_addf(text, "\\x%02x", code);
}

/* Terminals obey U+0080 … U+009F as they do escape sequences. */
static bool
is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

void
text_add_escaped(struct text *text, const char *bytes, size_t length)
{
	size_t step;

	text_add(text, "", 0);
	for (size_t at = 0; at < length; at += step) {
		uint32_t code;

		step = character(bytes + at, length - at, &code);
		if (step == 0) {
			text_addf(text, "\\x%02x", (unsigned char)bytes[at]);
			step = 1;
		} else if (is_control(code)) {
			add_control(text, code);
		} else {
			text_add(text, bytes + at, step);
		}
	}
}
