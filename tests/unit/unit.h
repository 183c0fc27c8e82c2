/* What the unit tests share: run one suite, each test in its own process. */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <check.h>
#include <stdlib.h>

static inline int
unit_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* A case whose tests follow, added to `suite`. */
static inline TCase *
unit_case(Suite *suite, const char *name)
{
	TCase *tests = tcase_create(name);

	suite_add_tcase(suite, tests);
	return tests;
}

#endif
