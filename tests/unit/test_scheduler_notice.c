#include "daemon/scheduler/notice.h"

#include "tests/unit/unit.h"

START_TEST(notices_are_understood)
{
	struct notice notice = notice_parse("ready default 12");

	ck_assert_int_eq(notice.kind, NOTICE_READY);
	ck_assert_int_eq(notice.count, 12);
	notice = notice_parse("cancel 9223372036854775807");
	ck_assert_int_eq(notice.kind, NOTICE_CANCEL);
	ck_assert(notice.worker == INT64_MAX);
	ck_assert_int_eq(notice_parse("work").kind, NOTICE_WORK);
	ck_assert_int_eq(notice_parse("request").kind, NOTICE_REQUEST);
}
END_TEST

START_TEST(nonsense_is_no_notice)
{
	static const char *const words[] = {"", "ready", "ready ", "ready q",
	    "ready q ", "ready q x", "ready q 1x", "ready q 0", "ready  1",
	    "ready q -1", "ready q 99999999999999999999", "cancel", "cancel ",
	    "cancel 0", "cancel -3", "cancel 1 2", "worked", "works 1",
	    "ready q +1"};

	ck_assert_int_eq(notice_parse(words[_i]).kind, NOTICE_NONE);
	ck_assert_uint_lt((size_t)_i, sizeof words / sizeof *words);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("notice");
	TCase *tests = unit_case(suite, "notice");

	tcase_add_test(tests, notices_are_understood);
	tcase_add_loop_test(tests, nonsense_is_no_notice, 0, 19);
	return unit_run(suite);
}
