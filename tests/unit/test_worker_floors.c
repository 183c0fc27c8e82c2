#include "daemon/worker/floors.h"

#include "tests/unit/unit.h"

static void
set(struct floors *floors, int route, int rank, int lane, int64_t seq)
{
	struct floor floor = {
	    .route = route, .rank = rank, .lane = lane, .seq = seq};

	floors_set(floors, &floor);
}

START_TEST(floors_stand_in_order_and_are_replaced)
{
	struct floors floors = {0};
	const struct floor *found;
	size_t count;

	set(&floors, 2, 0, 8, 50);
	set(&floors, 1, 0, 8, 40);
	set(&floors, 2, -5, 8, 30);
	set(&floors, 2, 0, 1, 20);
	set(&floors, 2, 0, 8, 60);
	found = floors_of(&floors, 2, &count);
	ck_assert_uint_eq(count, 3);
	ck_assert_int_eq(found[0].seq, 30);
	ck_assert_int_eq(found[1].seq, 20);
	ck_assert_int_eq(found[2].seq, 60);
	floors_forget(&floors);
}
END_TEST

START_TEST(a_route_without_floors_has_none)
{
	struct floors floors = {0};
	size_t count = 9;

	ck_assert_ptr_null(floors_of(&floors, 1, &count));
	ck_assert_uint_eq(count, 0);
	set(&floors, 1, 0, 0, 1);
	set(&floors, 3, 0, 0, 1);
	ck_assert_ptr_null(floors_of(&floors, 2, &count));
	ck_assert_ptr_null(floors_of(&floors, 4, &count));
	floors_forget(&floors);
	ck_assert_ptr_null(floors_of(&floors, 1, &count));
}
END_TEST

START_TEST(too_many_floors_are_forgotten_not_kept)
{
	struct floors floors = {0};

	for (int i = 0; i < FLOORS_MAX + 10; i++)
		set(&floors, i, 0, 0, i);
	ck_assert_uint_le(floors.count, FLOORS_MAX);
	ck_assert_uint_eq(floors.count, 10);
	floors_forget(&floors);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("worker_floors");
	TCase *tests = unit_case(suite, "floors");

	tcase_add_test(tests, floors_stand_in_order_and_are_replaced);
	tcase_add_test(tests, a_route_without_floors_has_none);
	tcase_add_test(tests, too_many_floors_are_forgotten_not_kept);
	return unit_run(suite);
}
