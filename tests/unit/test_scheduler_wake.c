#include "daemon/scheduler/wake.h"

#include <event2/event.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/child.h"
#include "tests/unit/unit.h"

enum { WORKERS = 4 };

static struct event_base *base;
static struct wake wake;
static int fds[WORKERS];

static void
begin(void)
{
	base = event_base_new();
	wake = (struct wake){0};
	wake_open(&wake, base);
	for (int i = 0; i < WORKERS; i++) {
		fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		wake_add(&wake, i, 100 + i, dup(fds[i]));
	}
}

static void
end(void)
{
	wake_close(&wake);
	for (int i = 0; i < WORKERS; i++)
		close(fds[i]);
	event_base_free(base);
}

/* How many are awake now; they sleep afterwards. */
static int
awake(void)
{
	int count = 0;
	uint64_t value;

	for (int i = 0; i < WORKERS; i++)
		count += read(fds[i], &value, sizeof value) == sizeof value;
	return count;
}

START_TEST(as_many_are_woken_as_there_is_work_for)
{
	wake_some(&wake, 1);
	ck_assert_int_eq(awake(), 1);
	wake_some(&wake, 3);
	ck_assert_int_eq(awake(), 3);
	wake_some(&wake, 1000000000000);
	ck_assert_int_eq(awake(), WORKERS);
}
END_TEST

START_TEST(they_are_woken_in_turn)
{
	uint64_t value;

	for (int i = 0; i < 2 * WORKERS; i++)
		wake_some(&wake, 1);
	for (int i = 0; i < WORKERS; i++) {
		ck_assert_int_eq(
		    read(fds[i], &value, sizeof value), sizeof value);
		ck_assert_uint_eq(value, 2);
	}
}
END_TEST

START_TEST(the_others_follow_once)
{
	wake_some(&wake, 1);
	ck_assert_int_eq(awake(), 1);
	event_base_loop(base, EVLOOP_ONCE);
	ck_assert_int_eq(awake(), WORKERS - 1);
	ck_assert(!evtimer_pending(wake.others, NULL));
}
END_TEST

START_TEST(f2_one_is_found_by_its_id)
{
	uint64_t sign;

	ck_assert(wake_one(&wake, 102));
	ck_assert_int_eq(read(fds[2], &sign, sizeof(sign)), sizeof(sign));
	ck_assert_uint_eq(sign, CHILD_WAKE_CANCEL);
	ck_assert(wake_one(&wake, 102));
	ck_assert_int_eq(awake(), 1);
	ck_assert(!wake_one(&wake, 7));
	wake_add(&wake, 2, 202, dup(fds[2])); /* registered anew */
	ck_assert(!wake_one(&wake, 102));
	ck_assert(wake_one(&wake, 202));
	ck_assert_uint_eq(wake.count, WORKERS);
}
END_TEST

START_TEST(workers_come_and_go)
{
	wake_remove(&wake, 1);
	wake_remove(&wake, 1);
	wake_remove(&wake, 77);
	wake_all(&wake);
	ck_assert_int_eq(awake(), WORKERS - 1);
	for (int i = 0; i < WORKERS; i++)
		wake_remove(&wake, i);
	wake_all(&wake);
	wake_some(&wake, 1);
	ck_assert_int_eq(awake(), 0);
}
END_TEST

START_TEST(full_eventfd_does_not_block)
{
	uint64_t full = UINT64_MAX - 1;

	ck_assert_int_eq(write(fds[0], &full, sizeof full), sizeof full);
	wake_all(&wake);
	ck_assert_int_eq(awake(), WORKERS);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("wake");
	TCase *tests = unit_case(suite, "wake");

	tcase_add_checked_fixture(tests, begin, end);
	tcase_add_test(tests, as_many_are_woken_as_there_is_work_for);
	tcase_add_test(tests, they_are_woken_in_turn);
	tcase_add_test(tests, the_others_follow_once);
	tcase_add_test(tests, f2_one_is_found_by_its_id);
	tcase_add_test(tests, workers_come_and_go);
	tcase_add_test(tests, full_eventfd_does_not_block);
	return unit_run(suite);
}
