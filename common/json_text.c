#include "common/json_text.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/text.h"

enum { NEAR = 32 };

struct scan {
	const char *at, *end;
	size_t depth;	  /* brackets that are not closed yet: */
	char near[NEAR];  /* the outermost */
	struct text deep; /* and those within them */
	const char *why;  /* static; the first thing that jsonb refuses */
};

/* The bounds of PostgreSQL's numeric (src/backend/utils/adt/numeric.c). */
enum {
	HIGHEST_POWER = 131071, /* of ten, of the first digit */
	MOST_DECIMALS = 16383,
	EXPONENT_LIMIT = INT_MAX / 2,
};

static void
note(struct scan *scan, const char *why)
{
	if (scan->why == NULL)
		scan->why = why;
}

static char
innermost(const struct scan *scan)
{
	if (scan->depth == 0)
		return '\0';
	return scan->depth <= NEAR ? scan->near[scan->depth - 1]
				   : scan->deep.data[scan->deep.length - 1];
}

static void
enter(struct scan *scan, char opened)
{
	if (scan->depth < NEAR)
		scan->near[scan->depth] = opened;
	else
		text_add_char(&scan->deep, opened);
	scan->depth++;
}

static void
leave(struct scan *scan)
{
	if (scan->depth > NEAR)
		scan->deep.length--;
	scan->depth--;
}

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

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void
skip_space(struct scan *scan)
{
	while (scan->at < scan->end && is_space(*scan->at))
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

/* Its value goes up to EXPONENT_LIMIT, which stands for all beyond. */
static bool
skip_exponent(struct scan *scan, int64_t *ret_exponent)
{
	bool negative;
	const char *digits;

	*ret_exponent = 0;
	if (!skip(scan, 'e') && !skip(scan, 'E'))
		return true;
	negative = skip(scan, '-');
	if (!negative)
		(void)skip(scan, '+');
	digits = scan->at;
	if (!skip_digits(scan))
		return false;
	for (; digits < scan->at && *ret_exponent < EXPONENT_LIMIT; digits++)
		*ret_exponent = *ret_exponent * 10 + (*digits - '0');
	if (*ret_exponent > EXPONENT_LIMIT)
		*ret_exponent = EXPONENT_LIMIT;
	if (negative)
		*ret_exponent = -*ret_exponent;
	return true;
}

/* Whether digits up to `end`, with a point at `point` unless that is the end,
 * times a power of ten are a numeric. */
static bool
is_numeric(
    const char *digits, const char *point, const char *end, int64_t exponent)
{
	int64_t decimals = (end > point ? end - point - 1 : 0) - exponent;
	const char *first = digits;

	if (exponent == EXPONENT_LIMIT || exponent == -EXPONENT_LIMIT ||
	    decimals > MOST_DECIMALS)
		return false;
	while (first < end && (*first == '0' || *first == '.'))
		first++;
	if (first == end)
		return true;
	return point - first - (first < point) + exponent <= HIGHEST_POWER;
}

static bool
skip_number(struct scan *scan)
{
	const char *digits, *point, *end;
	int64_t exponent;

	(void)skip(scan, '-');
	digits = scan->at;
	if (!skip(scan, '0') && !skip_digits(scan))
		return false;
	point = scan->at;
	if (skip(scan, '.') && !skip_digits(scan))
		return false;
	end = scan->at;
	if (!skip_exponent(scan, &exponent))
		return false;
	if (!is_numeric(digits, point, end, exponent))
		note(scan, "holds a number beyond what PostgreSQL keeps "
			   "(131072 digits "
			   "before the point, 16383 after it)");
	return true;
}

/* `ret_code`: what \u names; otherwise of no interest and not 0. */
static bool
skip_escape(struct scan *scan, unsigned *ret_code)
{
	static const char hex[] = "0123456789abcdef";

	*ret_code = 1;
	if (scan->at == scan->end || *scan->at == '\0' ||
	    strchr("\"\\/bfnrtu", *scan->at) == NULL)
		return false;
	if (*scan->at++ != 'u')
		return true;
	*ret_code = 0;
	for (int i = 0; i < 4; i++, scan->at++) {
		const char *digit;

		if (scan->at == scan->end || *scan->at == '\0')
			return false;
		digit = memchr(hex, *scan->at | (*scan->at > '9' ? 0x20 : 0),
		    sizeof(hex) - 1);
		if (digit == NULL)
			return false;
		*ret_code = *ret_code << 4 | (unsigned)(digit - hex);
	}
	return true;
}

/* A character of a string, after one that was (or was not) the first half of a
 * pair of \u escapes; whether this one is. */
static bool
judge_character(struct scan *scan, bool after_half, unsigned code)
{
	bool second_half = code >= 0xdc00 && code <= 0xdfff;

	if (after_half != second_half)
		note(scan,
		    "holds half of a surrogate pair (\\ud800 to \\udfff)");
	if (code == 0)
		note(scan, "holds \\u0000, which PostgreSQL cannot keep");
	return code >= 0xd800 && code <= 0xdbff;
}

/* Characters that need no second look. */
static void
skip_plain(struct scan *scan)
{
	while (scan->at < scan->end && (unsigned char)*scan->at >= 0x20 &&
	       *scan->at != '"' && *scan->at != '\\')
		scan->at++;
}

static bool
skip_string(struct scan *scan)
{
	bool half = false;

	if (!skip(scan, '"'))
		return false;
	for (;;) {
		unsigned code;
		bool ends;

		if (!half)
			skip_plain(scan);
		if (scan->at == scan->end)
			return false;
		code = (unsigned char)*scan->at++;
		ends = code == '"';
		if (code < 0x20 || (code == '\\' && !skip_escape(scan, &code)))
			return false;
		half = judge_character(scan, half, code);
		if (ends)
			return true;
	}
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
	if (innermost(scan) != '{')
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
	while (scan->depth > 0) {
		skip_space(scan);
		if (skip(scan, ','))
			return true;
		if (!skip(scan, innermost(scan) == '{' ? '}' : ']'))
			return false;
		leave(scan);
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
	enter(scan, opened);
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

enum json_text
json_text_judge(const char *bytes, size_t length, const char **ret_why)
{
	struct scan scan;
	bool more = true, valid = true;

	scan.at = bytes;
	scan.end = bytes + length;
	scan.depth = 0;
	scan.deep = TEXT_EMPTY;
	scan.why = NULL;
	while (more) {
		valid = skip_value(&scan);
		more = valid && skip_closers(&scan);
	}
	skip_space(&scan);
	valid = valid && scan.depth == 0 && scan.at == scan.end;
	text_free(&scan.deep);
	if (!valid)
		return JSON_TEXT_NONE;
	*ret_why = scan.why;
	return scan.why != NULL ? JSON_TEXT_UNFIT : JSON_TEXT_FIT;
}
