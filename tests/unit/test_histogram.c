#include "common/histogram.h"

#include "tests/unit/unit.h"

static struct histogram histogram;

START_TEST(empty_has_no_percentile)
{
	ck_assert_uint_eq(histogram_percentile(&histogram, 0.5), 0);
}
END_TEST

START_TEST(every_value_is_right_within_a_quarter)
{
	/* Steps that are no power of two meet all parts of the buckets. */
	for (uint64_t value = 1; value < (uint64_t)1 << 40;
	     value += 1 + value / 7) {
		struct histogram one = {0};
		uint64_t edge;

		histogram_add(&one, value);
		histogram_add(&one, UINT64_MAX); /* the maximum hides nothing */
		edge = histogram_percentile(&one, 0.5);
		ck_assert_uint_ge(edge, value);
		ck_assert_uint_le(edge, value + value / 4);
	}
}
END_TEST

START_TEST(percentiles_of_a_range)
{
	for (uint64_t value = 1; value <= 1000; value++)
		histogram_add(&histogram, value);
	ck_assert_uint_eq(histogram.count, 1000);
	ck_assert_uint_eq(histogram.sum, 500500);
	ck_assert_uint_eq(histogram_percentile(&histogram, 0), 1);
	ck_assert_uint_eq(histogram_percentile(&histogram, 0.5), 511);
	ck_assert_uint_eq(histogram_percentile(&histogram, 0.99), 1000);
	ck_assert_uint_eq(histogram_percentile(&histogram, 1), 1000);
}
END_TEST

START_TEST(zero_and_giants_are_counted)
{
	histogram_add(&histogram, 0);
	ck_assert_uint_eq(histogram_percentile(&histogram, 0.5), 0);
	histogram_add(&histogram, UINT64_MAX);
	ck_assert_uint_eq(histogram_percentile(&histogram, 0.5), 1);
	ck_assert_uint_eq(histogram_percentile(&histogram, 1), UINT64_MAX);
}
END_TEST

START_TEST(merge_adds)
{
	struct histogram other = {0};

	histogram_add(&histogram, 10);
	histogram_add(&other, 1000);
	histogram_add(&other, 2000);
	histogram_merge(&histogram, &other);
	ck_assert_uint_eq(histogram.count, 3);
	ck_assert_uint_eq(histogram.sum, 3010);
	ck_assert_uint_eq(histogram.max, 2000);
	ck_assert_uint_eq(histogram_percentile(&histogram, 0.5), 1023);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("histogram");
	TCase *tests = unit_case(suite, "histogram");

	tcase_add_test(tests, empty_has_no_percentile);
	tcase_add_test(tests, every_value_is_right_within_a_quarter);
	tcase_add_test(tests, percentiles_of_a_range);
	tcase_add_test(tests, zero_and_giants_are_counted);
	tcase_add_test(tests, merge_adds);
	return unit_run(suite);
}
