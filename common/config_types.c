/* How values of each type are read and written. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "common/config_table.h"
#include "common/duration.h"

static int
read_duration(const char *value, double *ret_number)
{
	int64_t ms;
	int rc = duration_parse(value, &ms);

	if (rc == 0)
		*ret_number = (double)ms;
	return rc;
}

static void
format_duration(double number, struct text *ret_text)
{
	duration_format((int64_t)number, ret_text);
}

static int
read_size(const char *value, double *ret_number)
{
	int64_t bytes;
	int rc = size_parse(value, &bytes);

	if (rc == 0)
		*ret_number = (double)bytes;
	return rc;
}

static void
format_size(double number, struct text *ret_text)
{
	size_format((int64_t)number, ret_text);
}

/* Digits, with a fraction where `point`; a sign is read so that the range
 * check refuses what is below it. */
static int
read_digits(const char *value, bool point, double *ret_number)
{
	const char *at = value + (value[0] == '-');
	size_t digits = strspn(at, "0123456789");

	if (digits == 0)
		return -EINVAL;
	at += digits;
	if (point && at[0] == '.' && at[1] != '\0')
		at += 1 + strspn(at + 1, "0123456789");
	if (*at != '\0')
		return -EINVAL;
	*ret_number = strtod(value, NULL);
	return 0;
}

static int
read_integer(const char *value, double *ret_number)
{
	return read_digits(value, false, ret_number);
}

static int
read_decimal(const char *value, double *ret_number)
{
	return read_digits(value, true, ret_number);
}

static void
format_number(double number, struct text *ret_text)
{
	text_addf(ret_text, "%.15g", number);
}

static int
usable_processors(void)
{
	cpu_set_t set;
	int count;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	count = CPU_COUNT(&set);
	return count < CONFIG_WORKERS_LIMIT ? count : CONFIG_WORKERS_LIMIT;
}

static int
read_workers(const char *value, double *ret_number)
{
	if (strcmp(value, "auto") != 0)
		return read_integer(value, ret_number);
	*ret_number = usable_processors();
	return 0;
}

static int
read_boolean(const char *value, double *ret_number)
{
	if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return -EINVAL;
	*ret_number = value[0] == 't';
	return 0;
}

static void
format_boolean(double number, struct text *ret_text)
{
	text_add_string(ret_text, number != 0 ? "true" : "false");
}

/* Octal digits, as chmod has them. */
static int
read_mode(const char *value, double *ret_number)
{
	size_t digits = strspn(value, "01234567");

	if (digits < 3 || digits > 4 || value[digits] != '\0')
		return -EINVAL;
	*ret_number = (double)strtol(value, NULL, 8);
	return 0;
}

static void
format_mode(double number, struct text *ret_text)
{
	text_addf(ret_text, "%04o", (unsigned)number);
}

static int
read_level(const char *value, double *ret_number)
{
	enum log_level level;

	if (!log_level_parse(value, &level))
		return -EINVAL;
	*ret_number = level;
	return 0;
}

static void
format_level(double number, struct text *ret_text)
{
	text_add_string(ret_text, log_level_name((enum log_level)number));
}

const char *const config_missed_words[SCHEDULE_MISSED] = {
    "skip", "run_once", "run_all"};
const char *const config_overlap_words[SCHEDULE_OVERLAP] = {
    "skip", "queue", "allow"};

static const char *const log_formats[] = {
    [LOG_FORMAT_AUTO] = "auto",
    [LOG_FORMAT_TEXT] = "text",
    [LOG_FORMAT_JSON] = "json",
};

/* The number of a word in a list of `count`. */
static int
read_word(
    const char *const *words, int count, const char *value, double *ret_number)
{
	for (int i = 0; i < count; i++) {
		if (strcmp(value, words[i]) != 0)
			continue;
		*ret_number = i;
		return 0;
	}
	return -EINVAL;
}

static int
read_log_format(const char *value, double *ret_number)
{
	return read_word(log_formats, LOG_FORMAT_JSON + 1, value, ret_number);
}

static void
format_log_format(double number, struct text *ret_text)
{
	text_add_string(ret_text, log_formats[(int)number]);
}

static int
read_missed(const char *value, double *ret_number)
{
	return read_word(
	    config_missed_words, SCHEDULE_MISSED, value, ret_number);
}

static void
format_missed(double number, struct text *ret_text)
{
	text_add_string(ret_text, config_missed_words[(int)number]);
}

static int
read_overlap(const char *value, double *ret_number)
{
	return read_word(
	    config_overlap_words, SCHEDULE_OVERLAP, value, ret_number);
}

static void
format_overlap(double number, struct text *ret_text)
{
	text_add_string(ret_text, config_overlap_words[(int)number]);
}

/* The types of handlers that have no other key; those of the others follow
 * from the keys they have. */
static int
read_noop(const char *value, double *ret_number)
{
	if (strcmp(value, "true") == 0)
		*ret_number = HANDLER_NOOP;
	else if (strcmp(value, "sleep") == 0)
		*ret_number = HANDLER_SLEEP;
	else
		return -EINVAL;
	return 0;
}

static void
format_noop(double number, struct text *ret_text)
{
	text_add_string(
	    ret_text, (int)number == HANDLER_SLEEP ? "sleep" : "true");
}

static const struct {
	char unit;
	int seconds;
} rate_units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};

enum { RATE_UNITS = sizeof(rate_units) / sizeof(rate_units[0]) };

static int
read_rate(const char *value, double *ret_number)
{
	size_t digits = strspn(value, "0123456789");

	if (digits == 0 || digits > 9 || value[digits] != '/')
		return -EINVAL;
	for (int i = 0; i < RATE_UNITS; i++) {
		if (value[digits + 1] != rate_units[i].unit ||
		    value[digits + 2] != '\0')
			continue;
		*ret_number = strtod(value, NULL) / rate_units[i].seconds;
		return 0;
	}
	return -EINVAL;
}

/* In the first unit of which it is a whole number. */
static void
format_rate(double number, struct text *ret_text)
{
	double count = 0, whole = 0;
	int i;

	for (i = 0; i < RATE_UNITS; i++) {
		count = number * rate_units[i].seconds;
		whole = (double)(int64_t)(count + 0.5);
		if (whole > 0 && count - whole < 1e-6 && whole - count < 1e-6)
			break;
	}
	text_addf(ret_text, "%.0f/%c", whole,
	    rate_units[i < RATE_UNITS ? i : RATE_UNITS - 1].unit);
}

const struct config_type config_type_duration = {STORE_INT64,
    "a duration such as 500ms, 30s, 2m or 7d", read_duration, format_duration};
const struct config_type config_type_size = {
    STORE_INT64, "a size such as 64k or 512M", read_size, format_size};
const struct config_type config_type_integer = {
    STORE_INT, "a whole number", read_integer, format_number};
const struct config_type config_type_mode = {
    STORE_INT, "an octal number such as 027", read_mode, format_mode};
const struct config_type config_type_decimal = {
    STORE_DOUBLE, "a number", read_decimal, format_number};
const struct config_type config_type_boolean = {
    STORE_BOOL, "true or false", read_boolean, format_boolean};
const struct config_type config_type_workers = {
    STORE_INT, "auto or a whole number", read_workers, format_number};
const struct config_type config_type_level = {STORE_INT,
    "one of error, warning, notice, info, debug", read_level, format_level};
const struct config_type config_type_log_format = {
    STORE_INT, "one of auto, text, json", read_log_format, format_log_format};
const struct config_type config_type_missed = {
    STORE_INT, "one of skip, run_once, run_all", read_missed, format_missed};
const struct config_type config_type_overlap = {
    STORE_INT, "one of skip, queue, allow", read_overlap, format_overlap};
const struct config_type config_type_json = {
    STORE_STRING, "any value; it becomes JSON", NULL, NULL};
const struct config_type config_type_noop = {
    STORE_INT, "true or sleep", read_noop, format_noop};
const struct config_type config_type_rate = {
    STORE_DOUBLE, "a rate such as 10/s or 100/m", read_rate, format_rate};
const struct config_type config_type_text = {
    STORE_STRING, "a text", NULL, NULL};
const struct config_type config_type_list = {
    STORE_LIST, "a list such as [/usr/bin/program, argument]", NULL, NULL};
const struct config_type config_type_environment = {
    STORE_ENVIRONMENT, "a map of NAME: value", NULL, NULL};
const struct config_type config_type_headers = {STORE_ENVIRONMENT,
    "a map of Name: text or Name: {file: /path}", NULL, NULL};
const struct config_type config_type_flag = {
    STORE_INT, "true or false", read_boolean, format_boolean};
const struct config_type config_type_section = {
    STORE_SECTION, "a map", NULL, NULL};
const struct config_type config_type_inline = {STORE_INLINE, NULL, NULL, NULL};
const struct config_type config_type_named = {
    STORE_NAMED, "a map by name", NULL, NULL};
const struct config_type config_type_later = {STORE_NOTHING, NULL, NULL, NULL};
