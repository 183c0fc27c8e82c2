#include "common/duration.h"

#include <errno.h>

#include "tests/unit/unit.h"

struct sample {
	const char *string;
	int64_t value;
};

static const struct sample durations[] = {{"500ms", 500}, {"0s", 0},
    {"30s", 30000}, {"2m", 120000}, {"1h30m", 5400000}, {"7d", 604800000},
    {"2w", 1209600000}, {"1m30s5ms", 90005}, {"010s", 10000},
    {"9007199254740992ms", (int64_t)1 << 53}};
static const char *const no_durations[] = {"", "30", "s", "30 s", " 30s",
    "30s ", "1.5s", "-1s", "30S", "30sec", "5s1m", "5s5s", "1m30", "0x1s", "ms",
    "\xd9\xa3s"};
static const char *const endless[] = {"9007199254740993ms", "104249991375d",
    "99999999999999999999999w", "9007199254740992ms1w"};

START_TEST(reads_durations)
{
	int64_t ms = -1;

	ck_assert_int_eq(duration_parse(durations[_i].string, &ms), 0);
	ck_assert_int_eq(ms, durations[_i].value);
}
END_TEST

START_TEST(refuses_what_is_no_duration)
{
	int64_t ms = -7;

	ck_assert_int_eq(duration_parse(no_durations[_i], &ms), -EINVAL);
	ck_assert_int_eq(ms, -7);
}
END_TEST

START_TEST(refuses_endless_durations)
{
	int64_t ms = -7;
	/* The last one sums in the wrong order: no duration at all. */
	int wanted = _i == 3 ? -EINVAL : -ERANGE;

	ck_assert_int_eq(duration_parse(endless[_i], &ms), wanted);
	ck_assert_int_eq(ms, -7);
}
END_TEST

static const struct sample written[] = {{"0s", 0}, {"500ms", 500},
    {"1s500ms", 1500}, {"1m30s", 90000}, {"7d", 604800000}, {"1d1h", 90000000},
    {"14d", 1209600000}};

START_TEST(writes_durations)
{
	struct text text = TEXT_EMPTY;
	int64_t ms;

	duration_format(written[_i].value, &text);
	ck_assert_str_eq(text_string(&text), written[_i].string);
	ck_assert_int_eq(duration_parse(text_string(&text), &ms), 0);
	ck_assert_int_eq(ms, written[_i].value);
	text_free(&text);
}
END_TEST

static const struct sample sizes[] = {{"0", 0}, {"1000", 1000}, {"64k", 65536},
    {"1M", 1 << 20}, {"512M", 512 << 20}, {"3G", (int64_t)3 << 30},
    {"2T", (int64_t)2 << 40}, {"1025", 1025}};
static const char *const no_sizes[] = {
    "", "M", "1m", "1MB", "1 M", "1.5M", "-1", "1M1k", "0x10"};

START_TEST(reads_and_writes_sizes)
{
	struct text text = TEXT_EMPTY;
	int64_t bytes = -1;

	ck_assert_int_eq(size_parse(sizes[_i].string, &bytes), 0);
	ck_assert_int_eq(bytes, sizes[_i].value);
	size_format(bytes, &text);
	ck_assert_str_eq(text_string(&text), sizes[_i].string);
	text_free(&text);
}
END_TEST

START_TEST(refuses_what_is_no_size)
{
	int64_t bytes = -7;

	ck_assert_int_eq(size_parse(no_sizes[_i], &bytes), -EINVAL);
	ck_assert_int_eq(bytes, -7);
}
END_TEST

START_TEST(size_takes_both_ks_and_has_an_end)
{
	int64_t bytes = -7;

	ck_assert_int_eq(size_parse("2K", &bytes), 0);
	ck_assert_int_eq(bytes, 2048);
	ck_assert_int_eq(size_parse("9000T", &bytes), -ERANGE);
}
END_TEST

#define COUNT(list) (int)(sizeof(list) / sizeof((list)[0]))

int
main(void)
{
	Suite *suite = suite_create("duration");
	TCase *tests = unit_case(suite, "duration");

	tcase_add_loop_test(tests, reads_durations, 0, COUNT(durations));
	tcase_add_loop_test(
	    tests, refuses_what_is_no_duration, 0, COUNT(no_durations));
	tcase_add_loop_test(
	    tests, refuses_endless_durations, 0, COUNT(endless));
	tcase_add_loop_test(tests, writes_durations, 0, COUNT(written));
	tests = unit_case(suite, "size");
	tcase_add_loop_test(tests, reads_and_writes_sizes, 0, COUNT(sizes));
	tcase_add_loop_test(tests, refuses_what_is_no_size, 0, COUNT(no_sizes));
	tcase_add_test(tests, size_takes_both_ks_and_has_an_end);
	return unit_run(suite);
}
