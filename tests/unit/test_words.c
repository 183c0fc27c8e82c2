#include "supervisor/words.h"

#include <string.h>

#include "tests/unit/unit.h"

static const struct {
	int64_t ms;
	const char *words;
} times[] = {
    {0, "0.00 s"},
    {250, "0.25 s"},
    {9999, "10.00 s"},
    {10000, "10 s"},
    {59999, "59 s"},
    {60000, "1 min"},
    {200000, "3 min 20 s"},
    {18720000, "5 h 12 min"},
    {86400000, "1 d"},
    {273600000, "3 d 4 h"},
};

START_TEST(e2_times_in_words)
{
	char words[WORDS_SIZE];
	words_of_time(times[_i].ms, words);
	ck_assert_str_eq(words, times[_i].words);
}
END_TEST

static const struct {
	int code, status;
	const char *words;
} ends[] = {
    {CLD_EXITED, 0, "exited with 0 (done)"},
    {CLD_EXITED, 78, "exited with 78 (configuration or schema)"},
    {CLD_EXITED, 42, "exited with 42 (unexpected)"},
    {CLD_KILLED, 9, "killed by signal 9 (SIGKILL)"},
    {CLD_DUMPED, 11, "killed by signal 11 (SIGSEGV), core dumped"},
    {CLD_KILLED, 63, "killed by signal 63 (SIG?)"},
};

START_TEST(e2_ends_in_words)
{
	char words[WORDS_SIZE];
	siginfo_t info = {.si_code = ends[_i].code};
	info.si_status = ends[_i].status;
	words_of_end(&info, words);
	ck_assert_str_eq(words, ends[_i].words);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("words");
	TCase *tests = unit_case(suite, "words");

	tcase_add_loop_test(
	    tests, e2_times_in_words, 0, (int)(sizeof times / sizeof *times));
	tcase_add_loop_test(
	    tests, e2_ends_in_words, 0, (int)(sizeof ends / sizeof *ends));
	return unit_run(suite);
}
