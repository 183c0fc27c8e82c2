#include "daemon/worker/running.h"

#include "tests/unit/unit.h"

START_TEST(tasks_are_found_by_id_and_by_handle)
{
	struct running_table table = {0};
	struct running *one = running_new(7, 70), *two = running_new(8, 70);

	ck_assert_ptr_null(running_table_find(&table, 7));
	running_table_add(&table, one);
	running_table_add(&table, two);
	ck_assert_ptr_eq(running_table_find(&table, 7), one);
	ck_assert_ptr_eq(running_table_find(&table, 8), two);
	ck_assert_ptr_null(running_table_find(&table, 9));
	ck_assert_ptr_eq(running_of(&two->task), two);
	running_table_remove(&table, one);
	running_table_remove(&table, one);
	ck_assert_ptr_null(running_table_find(&table, 7));
	ck_assert_uint_eq(table.count, 1);
	running_free(one);
	running_free(two);
	running_table_free(&table);
}
END_TEST

/* Against a plain array of what should be there. */
START_TEST(table_agrees_with_a_model_over_many_changes)
{
	enum { IDS = 700, STEPS = 50000 };
	struct running_table table = {0};
	struct running *model[IDS] = {0};
	size_t count = 0;

	srand(1);
	for (int step = 0; step < STEPS; step++) {
		int id = rand() % IDS;

		if (model[id] == NULL) {
			model[id] = running_new((int64_t)id << 20, 1);
			running_table_add(&table, model[id]);
			count++;
		} else {
			running_table_remove(&table, model[id]);
			model[id] = running_free(model[id]);
			count--;
		}
		id = rand() % IDS;
		ck_assert_ptr_eq(
		    running_table_find(&table, (int64_t)id << 20), model[id]);
		ck_assert_uint_eq(table.count, count);
	}
	for (int id = 0; id < IDS; id++)
		running_free(model[id]);
	running_table_free(&table);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("worker_running");
	TCase *tests = unit_case(suite, "table");

	tcase_add_test(tests, tasks_are_found_by_id_and_by_handle);
	tcase_add_test(tests, table_agrees_with_a_model_over_many_changes);
	return unit_run(suite);
}
