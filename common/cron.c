#include "common/cron.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CRON_LENGTH_MAX = 500, CRON_FIELDS = 6, NAME_LENGTH = 3 };

#define DIGITS "0123456789"
#define WORD DIGITS "abcdefghijklmnopqrstuvwxyz"

static const char months[] = "janfebmaraprmayjunjulaugsepoctnovdec";
static const char weekdays[] = "sunmontuewedthufrisat";

enum { DAY = 3, MONTH = 4, WEEKDAY = 5 };

static const struct field {
	const char *what;
	int min, max;
	const char *names; /* of the values from min on, three letters each */
} fields[CRON_FIELDS] = {
    {"second", 0, 59, ""},
    {"minute", 0, 59, ""},
    {"hour", 0, 23, ""},
    {"day", 1, 31, ""},
    {"month", 1, 12, months},
    {"weekday", 0, 7, weekdays},
};

/* What was read of a field. */
struct values {
	uint64_t set; /* a bit a value */
	bool star;    /* it begins with one */
	bool last;    /* L: the last day of the month */
};

static bool
fail(struct error *error, const struct field *field, const char *item,
    const char *why)
{
	error_set(error, "%s: '%.40s' %s", field->what, item, why);
	return false;
}

/* A name's number; negative: it is none. */
static int
named(const struct field *field, const char *text, size_t length)
{
	if (length != NAME_LENGTH)
		return -1;
	for (int i = 0; field->names[(ptrdiff_t)i * NAME_LENGTH] != '\0'; i++)
		if (memcmp(field->names + (ptrdiff_t)i * NAME_LENGTH, text,
			NAME_LENGTH) == 0)
			return field->min + i;
	return -1;
}

/* Takes a number or name from *at on. */
static bool
take_value(const struct field *field, const char **at, const char *item,
    int *ret_value, struct error *error)
{
	size_t length = strspn(*at, WORD);
	size_t digits = strspn(*at, DIGITS);

	if (length > 0 && digits == length && length <= 3)
		*ret_value = (int)strtol(*at, NULL, 10);
	else
		*ret_value = named(field, *at, length);
	if (*ret_value < 0)
		return fail(error, field, item,
		    "is none of *, N, N-M and these with /STEP");
	*at += length;
	if (*ret_value >= field->min && *ret_value <= field->max)
		return true;
	error_set(error, "%s: %d is out of range, %d to %d", field->what,
	    *ret_value, field->min, field->max);
	return false;
}

/* Takes "/STEP", if it is there, to the end of the item. */
static bool
take_step(const struct field *field, const char *at, const char *item,
    int *ret_step, struct error *error)
{
	size_t digits;

	*ret_step = 1;
	if (*at == '\0')
		return true;
	digits = *at == '/' ? strspn(at + 1, DIGITS) : 0;
	if (digits == 0 || digits > 3 || at[1 + digits] != '\0')
		return fail(error, field, item,
		    "is none of *, N, N-M and these with /STEP");
	*ret_step = (int)strtol(at + 1, NULL, 10);
	if (*ret_step >= 1 && *ret_step <= field->max)
		return true;
	error_set(error, "%s: the step %d is out of range, 1 to %d",
	    field->what, *ret_step, field->max);
	return false;
}

/* N, N-M or N/STEP: `*ret_to` is negative for the last. */
static bool
take_range(const struct field *field, const char **at, const char *item,
    int *ret_from, int *ret_to, struct error *error)
{
	if (!take_value(field, at, item, ret_from, error))
		return false;
	*ret_to = **at == '/' ? -1 : *ret_from;
	if (**at != '-')
		return true;
	(*at)++;
	return take_value(field, at, item, ret_to, error);
}

static bool
take_item(const struct field *field, const char *item, struct values *values,
    struct error *error)
{
	bool week = field == &fields[WEEKDAY];
	int from = field->min, to = -1, step;
	const char *at = item;

	if (*at == '*')
		at++;
	else if (!take_range(field, &at, item, &from, &to, error))
		return false;
	if (!take_step(field, at, item, &step, error))
		return false;
	if (to < 0)
		to = field->max > from && week ? field->max - 1 : field->max;
	else if (week && to == 0 && from > 0)
		to = field->max; /* a week may end with its Sunday */
	if (from > to)
		return fail(error, field, item, "is the wrong way round");
	for (; from <= to; from += step)
		values->set |= UINT64_C(1) << from;
	return true;
}

/* L as a day, 5L and friL as weekdays; the item is shortened by its L. */
static bool
take_last(const struct field *field, char *item, struct values *values,
    bool *ret_taken, struct error *error)
{
	size_t length = strlen(item);
	const char *at = item;
	int value;

	*ret_taken = false;
	if (field == &fields[DAY] && strcmp(item, "l") == 0) {
		values->last = *ret_taken = true;
		return true;
	}
	if (field != &fields[WEEKDAY] || length < 2 ||
	    strspn(item, WORD) != length || item[length - 1] != 'l')
		return true;
	*ret_taken = true;
	item[length - 1] = '\0';
	return take_value(field, &at, item, &value, error);
}

static bool
take_field(const struct field *field, char *text, struct values *values,
    struct error *error)
{
	char *item = text, *comma;
	bool taken;

	values->star = *text == '*';
	do {
		comma = strchr(item, ',');
		if (comma != NULL)
			*comma = '\0';
		if (!take_last(field, item, values, &taken, error))
			return false;
		if (!taken && !take_item(field, item, values, error))
			return false;
		item = comma != NULL ? comma + 1 : NULL;
	} while (item != NULL);
	return true;
}

/* Where the day must match and the weekday is open or must match, too. */
static bool
has_a_day(const struct values *values)
{
	static const int days[] = {
	    0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	const struct values *day = &values[DAY];

	if (day->star || day->last || !values[WEEKDAY].star)
		return true;
	for (int month = 1; month <= 12; month++)
		if ((values[MONTH].set >> month & 1) != 0 &&
		    (day->set & ((UINT64_C(2) << days[month]) - 1)) != 0)
			return true;
	return false;
}

static bool
check_macro(const char *text, struct error *error)
{
	static const char *const macros[] = {"@hourly", "@daily", "@midnight",
	    "@weekly", "@monthly", "@yearly", "@annually"};

	for (size_t i = 0; i < sizeof(macros) / sizeof(macros[0]); i++)
		if (strcmp(text, macros[i]) == 0)
			return true;
	error_set(error,
	    "'%.40s' is none of @hourly, @daily, @midnight, @weekly, "
	    "@monthly, @yearly, @annually",
	    text);
	return false;
}

/* Cuts the text at its blanks; how many parts there are, at most one more than
 * there is room for. */
static int
split(char *text, char **ret_parts)
{
	int count = 0;
	char *rest;

	for (char *part = strtok_r(text, " \t", &rest); part != NULL;
	     part = strtok_r(NULL, " \t", &rest)) {
		if (count < CRON_FIELDS)
			ret_parts[count] = part;
		if (count++ == CRON_FIELDS)
			break;
	}
	return count;
}

static bool
check_fields(char **parts, int count, struct error *error)
{
	struct values values[CRON_FIELDS] = {0};
	int first = CRON_FIELDS - count;

	for (int i = 0; i < count; i++)
		if (!take_field(&fields[first + i], parts[i],
			&values[first + i], error))
			return false;
	if (has_a_day(values))
		return true;
	error_set(error, "no month it names has such a day");
	return false;
}

/* Of ASCII, whatever the locale. */
static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool
cron_check(const char *cron, struct error *error)
{
	char text[CRON_LENGTH_MAX + 1] = "", *parts[CRON_FIELDS];
	size_t length = strlen(cron);
	int count = 0;

	if (length <= CRON_LENGTH_MAX) {
		for (size_t i = 0; i < length; i++)
			text[i] = lower(cron[i]);
		count = split(text, parts);
	}
	if (count == 1 && parts[0][0] == '@')
		return check_macro(parts[0], error);
	if (count >= CRON_FIELDS - 1 && count <= CRON_FIELDS)
		return check_fields(parts, count, error);
	error_set(error, "not five fields (minute hour day month weekday), or "
			 "six with seconds first");
	return false;
}
