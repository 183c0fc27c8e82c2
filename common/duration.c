#include "common/duration.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define LIMIT ((int64_t)1 << 53)

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit durations[] = {{"w", 7 * 86400000}, {"d", 86400000},
    {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit sizes[] = {{"T", (int64_t)1 << 40}, {"G", 1 << 30},
    {"M", 1 << 20}, {"k", 1 << 10}, {"", 1}};

enum {
	DURATIONS = sizeof(durations) / sizeof(durations[0]),
	SIZES = sizeof(sizes) / sizeof(sizes[0]),
};

/* Reads digits; -EINVAL when there is none. What is too large stays LIMIT
 * + 1, so that the caller's range check sees it. */
static int
read_digits(const char **at, int64_t *ret_number)
{
	int64_t number = 0;

	if (**at < '0' || **at > '9')
		return -EINVAL;
	for (; **at >= '0' && **at <= '9'; (*at)++)
		if (number <= LIMIT)
			number = number * 10 + (**at - '0');
	*ret_number = number;
	return 0;
}

/* The unit whose name is the letters up to the next digit or the end. */
static const struct unit *
read_unit(const char **at, const struct unit *units, size_t count)
{
	size_t length = strcspn(*at, "0123456789");

	for (size_t i = 0; i < count; i++) {
		if (strlen(units[i].name) != length ||
		    strncmp(units[i].name, *at, length) != 0)
			continue;
		*at += length;
		return &units[i];
	}
	return NULL;
}

static int
add_part(int64_t *sum, int64_t number, int64_t factor)
{
	int64_t part;

	if (__builtin_mul_overflow(number, factor, &part) ||
	    __builtin_add_overflow(*sum, part, sum) || *sum > LIMIT)
		return -ERANGE;
	return 0;
}

int
duration_parse(const char *string, int64_t *ret_ms)
{
	const struct unit *unit, *last = NULL;
	int64_t number, sum = 0;
	int rc = 0;

	do {
		if (read_digits(&string, &number) < 0)
			return -EINVAL;
		unit = read_unit(&string, durations, DURATIONS);
		if (unit == NULL || (last != NULL && unit <= last))
			return -EINVAL;
		if (rc == 0)
			rc = add_part(&sum, number, unit->factor);
		last = unit;
	} while (*string != '\0');
	if (rc == 0)
		*ret_ms = sum;
	return rc;
}

void
duration_format(int64_t ms, struct text *ret_text)
{
	if (ms == 0)
		text_add_string(ret_text, "0s");
	/* Weeks are read, and written as days. */
	for (size_t i = 1; i < DURATIONS; i++) {
		int64_t count = ms / durations[i].factor;

		if (count == 0)
			continue;
		text_add_int(ret_text, count);
		text_add_string(ret_text, durations[i].name);
		ms -= count * durations[i].factor;
	}
}

int
size_parse(const char *string, int64_t *ret_bytes)
{
	const struct unit *unit;
	int64_t number, sum = 0;
	int rc;

	if (read_digits(&string, &number) < 0)
		return -EINVAL;
	if (strcmp(string, "K") == 0)
		string = "k";
	unit = read_unit(&string, sizes, SIZES);
	if (unit == NULL || *string != '\0')
		return -EINVAL;
	rc = add_part(&sum, number, unit->factor);
	if (rc == 0)
		*ret_bytes = sum;
	return rc;
}

void
size_format(int64_t bytes, struct text *ret_text)
{
	size_t i = 0;

	while (bytes == 0 ? i < SIZES - 1 : bytes % sizes[i].factor != 0)
		i++;
	text_add_int(ret_text, bytes / sizes[i].factor);
	text_add_string(ret_text, sizes[i].name);
}
