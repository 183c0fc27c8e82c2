#include "common/json_text.h"

#include <string.h>

#include "common/text.h"

struct scan {
	const char *at, *end;
	struct text open; /* the brackets that are not closed yet */
};

static bool
is_at(const struct scan *scan, char c)
{
	return scan->at < scan->end && *scan->at == c;
}

static bool
skip(struct scan *scan, char c)
{
	if (!is_at(scan, c))
		return false;
	scan->at++;
	return true;
}

static void
skip_space(struct scan *scan)
{
	while (scan->at < scan->end && *scan->at != '\0' &&
	       strchr(" \t\r\n", *scan->at) != NULL)
		scan->at++;
}

static bool
skip_word(struct scan *scan, const char *word)
{
	size_t length = strlen(word);

	if ((size_t)(scan->end - scan->at) < length ||
	    memcmp(scan->at, word, length) != 0)
		return false;
	scan->at += length;
	return true;
}

static bool
skip_digits(struct scan *scan)
{
	const char *start = scan->at;

	while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
		scan->at++;
	return scan->at > start;
}

static bool
skip_number(struct scan *scan)
{
	(void)skip(scan, '-');
	if (!skip(scan, '0') && !skip_digits(scan))
		return false;
	if (skip(scan, '.') && !skip_digits(scan))
		return false;
	if (!skip(scan, 'e') && !skip(scan, 'E'))
		return true;
	if (!skip(scan, '+'))
		(void)skip(scan, '-');
	return skip_digits(scan);
}

static bool
skip_escape(struct scan *scan)
{
	static const char hex[] = "0123456789abcdefABCDEF";

	if (scan->at == scan->end || *scan->at == '\0' ||
	    strchr("\"\\/bfnrtu", *scan->at) == NULL)
		return false;
	if (*scan->at++ != 'u')
		return true;
	for (int i = 0; i < 4; i++, scan->at++)
		if (scan->at == scan->end || *scan->at == '\0' ||
		    strchr(hex, *scan->at) == NULL)
			return false;
	return true;
}

static bool
skip_string(struct scan *scan)
{
	if (!skip(scan, '"'))
		return false;
	while (scan->at < scan->end) {
		unsigned char c = (unsigned char)*scan->at++;

		if (c == '"')
			return true;
		if (c < 0x20 || (c == '\\' && !skip_escape(scan)))
			return false;
	}
	return false;
}

static bool
skip_scalar(struct scan *scan)
{
	if (is_at(scan, '"'))
		return skip_string(scan);
	return skip_word(scan, "null") || skip_word(scan, "true") ||
	       skip_word(scan, "false") || skip_number(scan);
}

/* Within an object a name and its colon stand before each value. */
static bool
skip_name(struct scan *scan)
{
	if (scan->open.length == 0 ||
	    scan->open.data[scan->open.length - 1] != '{')
		return true;
	skip_space(scan);
	if (!skip_string(scan))
		return false;
	skip_space(scan);
	return skip(scan, ':');
}

/* Behind a value: closes what ends here. True: another value follows. */
static bool
skip_closers(struct scan *scan)
{
	while (scan->open.length > 0) {
		char opened = scan->open.data[scan->open.length - 1];

		skip_space(scan);
		if (skip(scan, ','))
			return true;
		if (!skip(scan, opened == '{' ? '}' : ']'))
			return false;
		scan->open.length--;
	}
	return false;
}

/* A bracket that opens; true: it is empty and closed again. */
static bool
skip_opener(struct scan *scan)
{
	char opened = *scan->at++;

	skip_space(scan);
	if (skip(scan, opened == '{' ? '}' : ']'))
		return true;
	text_add_char(&scan->open, opened);
	return false;
}

/* The next scalar or empty brackets, and the brackets in which it stands. */
static bool
skip_value(struct scan *scan)
{
	for (;;) {
		if (!skip_name(scan))
			return false;
		skip_space(scan);
		if (!is_at(scan, '{') && !is_at(scan, '['))
			return skip_scalar(scan);
		if (skip_opener(scan))
			return true;
	}
}

bool
json_text_is_valid(const char *bytes, size_t length)
{
	struct scan scan = {.at = bytes, .end = bytes + length};
	bool more = true, valid = true;

	while (more) {
		valid = skip_value(&scan);
		more = valid && skip_closers(&scan);
	}
	skip_space(&scan);
	valid = valid && scan.open.length == 0 && scan.at == scan.end;
	text_free(&scan.open);
	return valid;
}
