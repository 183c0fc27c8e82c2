#include "common/cron.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

/* The same table is held against the database. */
START_TEST(c2_right_and_wrong_expressions)
{
	const char *top = getenv("srcdir");
	char path[4096], line[600];
	int right = 0, wrong = 0;
	struct error error;

	snprintf(path, sizeof(path), "%s/tests/support/cron_expressions",
	    top == NULL ? "." : top);
	FILE *file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#')
			continue;
		bool wanted = line[0] == '+';
		const char *cron = line + (line[1] == ' ' ? 2 : 1);

		ck_assert_msg(cron_check(cron, &error) == wanted, "'%s'", cron);
		wanted ? right++ : wrong++;
	}
	fclose(file);
	ck_assert_int_gt(right, 30);
	ck_assert_int_gt(wrong, 50);
}
END_TEST

static const struct {
	const char *cron, *error;
} errors[] = {
    {"60 * * * *", "minute: 60 is out of range, 0 to 59"},
    {"* * * * mon-xyz",
	"weekday: 'mon-xyz' is none of *, N, N-M and these with /STEP"},
    {"*/0 * * * *", "minute: the step 0 is out of range, 1 to 59"},
    {"* 22-3 * * *", "hour: '22-3' is the wrong way round"},
    {"0 0 30 2 *", "no month it names has such a day"},
    {"* * * *", "not five fields (minute hour day month weekday), or six "
		"with seconds first"},
};

START_TEST(c2_errors_name_the_field)
{
	struct error error;

	ck_assert(!cron_check(errors[_i].cron, &error));
	ck_assert_str_eq(error.text, errors[_i].error);
}
END_TEST

START_TEST(c2_an_endless_expression_is_refused)
{
	static char cron[100001];
	struct error error;

	memset(cron, ' ', sizeof(cron) - 1);
	ck_assert(!cron_check(cron, &error));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("cron");
	TCase *tests = unit_case(suite, "check");

	tcase_add_test(tests, c2_right_and_wrong_expressions);
	tcase_add_loop_test(tests, c2_errors_name_the_field, 0,
	    (int)(sizeof(errors) / sizeof(errors[0])));
	tcase_add_test(tests, c2_an_endless_expression_is_refused);
	return unit_run(suite);
}
