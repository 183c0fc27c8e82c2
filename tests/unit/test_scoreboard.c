#include "common/scoreboard.h"
#include "common/start_time.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/unit.h"

static struct scoreboard *reader, *writer;

static void
boards_open(void)
{
	reader = scoreboard_new();
	ck_assert_ptr_nonnull(reader);
	writer = scoreboard_open(dup(scoreboard_fd(reader)));
	ck_assert_ptr_nonnull(writer);
}

static void
boards_close(void)
{
	writer = scoreboard_free(writer);
	reader = scoreboard_free(reader);
}

/* The writer's memory as raw bytes, found by a value that stands in it. */
static char *
raw_find(int64_t value, size_t *ret_size)
{
	*ret_size = (size_t)lseek(scoreboard_fd(reader), 0, SEEK_END);
	char *bytes = mmap(NULL, *ret_size, PROT_READ | PROT_WRITE, MAP_SHARED,
	    scoreboard_fd(reader), 0);
	ck_assert_ptr_ne(bytes, MAP_FAILED);
	char *place = memmem(bytes, *ret_size, &value, sizeof value);
	ck_assert_ptr_nonnull(place);
	return place;
}

static struct scoreboard_slot *
raw_slot(int64_t task)
{
	size_t size;
	return (
	    struct scoreboard_slot *)(void *)(raw_find(task, &size) -
					      offsetof(struct scoreboard_slot,
						  task));
}

START_TEST(e2_reader_sees_what_the_writer_says)
{
	char name[SCOREBOARD_NAME_SIZE];
	ck_assert_int_eq(scoreboard_tick_us(reader), 0);
	scoreboard_callback(reader, name);
	ck_assert_str_eq(name, "");
	scoreboard_tick(writer);
	ck_assert_int_gt(scoreboard_tick_us(reader), 0);
	ck_assert_int_le(scoreboard_tick_us(reader), mono_now().us);
	scoreboard_enter(writer, "turn_result");
	scoreboard_callback(reader, name);
	ck_assert_str_eq(name, "turn_result");
	scoreboard_enter(writer, NULL);
	scoreboard_callback(reader, name);
	ck_assert_str_eq(name, "");
	scoreboard_set_worker(writer, 77);
	ck_assert_int_eq(scoreboard_worker(reader), 77);
	scoreboard_set_state(writer, SCOREBOARD_DRAINING);
	ck_assert_int_eq(scoreboard_state(reader), SCOREBOARD_DRAINING);
	scoreboard_count(writer, SCOREBOARD_CLAIMED, 3);
	scoreboard_count(writer, SCOREBOARD_CLAIMED, 4);
	ck_assert_uint_eq(scoreboard_counter(reader, SCOREBOARD_CLAIMED), 7);
	histogram_add(scoreboard_lag(writer), 100);
	ck_assert_uint_eq(scoreboard_lag_read(reader)->count, 1);
}
END_TEST

START_TEST(e2_tasks_come_and_go)
{
	struct scoreboard_slot slot;
	bool torn;
	int first = scoreboard_task_begin(writer, 42, "default", "resize");
	int second = scoreboard_task_begin(writer, 43, "default", "mail");
	ck_assert_int_ge(first, 0);
	ck_assert_int_ne(first, second);
	ck_assert(scoreboard_slot(reader, first, &slot, &torn));
	ck_assert(!torn);
	ck_assert_int_eq(slot.task, 42);
	ck_assert_int_eq(slot.group, 0);
	ck_assert_uint_eq(slot.queue, scoreboard_hash("default"));
	ck_assert_uint_eq(slot.kind, scoreboard_hash("resize"));
	ck_assert_int_gt(slot.started_us, 0);
	scoreboard_set_group(writer, first, 1234, 99);
	ck_assert(scoreboard_slot(reader, first, &slot, &torn));
	ck_assert_int_eq(slot.group, 1234);
	ck_assert_uint_eq(slot.group_start, 99);
	scoreboard_task_end(writer, first);
	ck_assert(!scoreboard_slot(reader, first, &slot, &torn));
	ck_assert(!torn);
	/* the lowest free slot is used again, without the old group */
	ck_assert_int_eq(
	    scoreboard_task_begin(writer, 44, "default", "mail"), first);
	ck_assert(scoreboard_slot(reader, first, &slot, &torn));
	ck_assert_int_eq(slot.task, 44);
	ck_assert_int_eq(slot.group, 0);
}
END_TEST

START_TEST(e2_slots_run_out)
{
	struct scoreboard_slot slot;
	bool torn;
	for (int i = 0; i < SCOREBOARD_SLOTS; i++)
		ck_assert_int_eq(
		    scoreboard_task_begin(writer, i + 1, "q", "k"), i);
	ck_assert_int_eq(scoreboard_task_begin(writer, 1, "q", "k"), -ENOSPC);
	for (int i = 0; i < SCOREBOARD_SLOTS; i++) {
		ck_assert(scoreboard_slot(reader, i, &slot, &torn));
		ck_assert_int_eq(slot.task, i + 1);
	}
	scoreboard_task_end(writer, 5000);
	ck_assert_int_eq(scoreboard_task_begin(writer, 1, "q", "k"), 5000);
}
END_TEST

START_TEST(e2_slot_torn_by_a_crash_is_reported)
{
	struct scoreboard_slot slot;
	bool torn;
	int index = scoreboard_task_begin(writer, 0x1122334455667788, "q", "k");
	raw_slot(0x1122334455667788)->sequence |= 1;
	ck_assert(!scoreboard_slot(reader, index, &slot, &torn));
	ck_assert(torn);
	/* the next whole write heals it */
	scoreboard_task_end(writer, index);
	ck_assert(!scoreboard_slot(reader, index, &slot, &torn));
	ck_assert(!torn);
}
END_TEST

START_TEST(e2_values_out_of_range_are_not_believed)
{
	struct scoreboard_slot slot, bad[6];
	bool torn;
	int index = scoreboard_task_begin(writer, 0x1122334455667788, "q", "k");
	struct scoreboard_slot *raw = raw_slot(0x1122334455667788);
	for (int i = 0; i < 6; i++)
		bad[i] = *raw;
	bad[0].task = -1;
	bad[1].group = 1;
	bad[2].group = -5;
	bad[3].group = INT32_MAX;
	bad[4].started_us = INT64_MAX;
	bad[5].started_us = -1;
	for (int i = 0; i < 6; i++) {
		*raw = bad[i];
		torn = false;
		ck_assert(!scoreboard_slot(reader, index, &slot, &torn));
		ck_assert(torn);
	}
}
END_TEST

START_TEST(e2_hostile_head_misleads_nobody)
{
	char name[SCOREBOARD_NAME_SIZE];
	size_t size;
	struct scoreboard_slot slot;
	bool torn;
	scoreboard_set_worker(writer, 0x1122334455667788);
	char *worker = raw_find(0x1122334455667788, &size);
	/* all of the memory behind the version is garbage */
	memset(worker - 8, 0xff, size - 16);
	ck_assert_int_eq(scoreboard_tick_us(reader), 0);
	ck_assert_int_eq(scoreboard_worker(reader), 0);
	ck_assert_int_eq(scoreboard_state(reader), SCOREBOARD_STARTING);
	scoreboard_callback(reader, name);
	ck_assert_uint_lt(strlen(name), sizeof name);
	for (const char *c = name; *c; c++)
		ck_assert_int_eq(*c, '?');
	for (int i = 0; i < SCOREBOARD_SLOTS; i++)
		ck_assert(!scoreboard_slot(reader, i, &slot, &torn) && torn);
	(void)histogram_percentile(scoreboard_lag_read(reader), 0.99);
}
END_TEST

static void *
write_forever(void *stop)
{
	int64_t task = 1;
	while (!__atomic_load_n((bool *)stop, __ATOMIC_RELAXED)) {
		int index = scoreboard_task_begin(writer, task, "q", "k");
		scoreboard_set_group(writer, index, (pid_t)(task % 4096 + 2),
		    (uint64_t)task % 4096 + 2);
		scoreboard_task_end(writer, index);
		task++;
	}
	return NULL;
}

START_TEST(e2_reader_beside_the_writer_sees_whole_slots)
{
	pthread_t thread;
	bool stop = false, torn;
	int seen = 0;
	struct scoreboard_slot slot;
	ck_assert_int_eq(
	    pthread_create(&thread, NULL, write_forever, &stop), 0);
	struct mono end = mono_add_ms(mono_now(), 300);
	while (seen == 0 || mono_ms_between(mono_now(), end) > 0) {
		if (!scoreboard_slot(reader, 0, &slot, &torn))
			continue;
		seen++;
		ck_assert_uint_eq((uint64_t)slot.group, slot.group_start);
		if (slot.group != 0)
			ck_assert_int_eq(slot.task % 4096 + 2, slot.group);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	ck_assert_int_gt(seen, 0);
}
END_TEST

START_TEST(e2_other_memories_are_refused)
{
	int fd = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_ptr_null(scoreboard_open(fd));
	ck_assert_int_eq(
	    ftruncate(fd, lseek(scoreboard_fd(reader), 0, SEEK_END)), 0);
	ck_assert_ptr_null(scoreboard_open(fd));
	ck_assert_int_eq(
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	ck_assert_ptr_null(scoreboard_open(fd));
	close(fd);
}
END_TEST

START_TEST(e2_memory_cannot_be_resized)
{
	ck_assert_int_lt(ftruncate(scoreboard_fd(reader), 0), 0);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_lt(ftruncate(scoreboard_fd(reader), 1 << 30), 0);
}
END_TEST

START_TEST(e2_memory_outlives_its_writer)
{
	struct scoreboard_slot slot;
	bool torn;
	pid_t pid = fork();
	if (pid == 0) {
		scoreboard_task_begin(writer, 42, "q", "k");
		raise(SIGKILL);
	}
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	ck_assert(scoreboard_slot(reader, 0, &slot, &torn));
	ck_assert_int_eq(slot.task, 42);
}
END_TEST

START_TEST(e2_retired_board_shows_nothing)
{
	struct scoreboard_slot slot;
	bool torn;
	int index = scoreboard_task_begin(writer, 42, "q", "k");
	scoreboard_set_state(writer, SCOREBOARD_RUNNING);
	scoreboard_retire(reader);
	ck_assert(!scoreboard_slot(writer, index, &slot, &torn));
	ck_assert(!torn);
	ck_assert_int_eq(scoreboard_state(writer), SCOREBOARD_DRAINING);
}
END_TEST

START_TEST(pools_are_shown_whole_or_not_at_all)
{
	struct scoreboard_pool *place = scoreboard_pool_begin(writer), seen;
	struct scoreboard_pool now = {
	    .used = 1, .kind = "resize", .ready = 3, .error = "exit status 1"};

	ck_assert_ptr_nonnull(place);
	scoreboard_pool_write(place, &now);
	ck_assert(scoreboard_pool(reader, 0, &seen));
	ck_assert_str_eq(seen.kind, "resize");
	ck_assert_str_eq(seen.error, "exit status 1");
	ck_assert_uint_eq(seen.ready, 3);
	ck_assert(!scoreboard_pool(reader, 1, &seen));
	place->sequence |= 1; /* as if it had died while it wrote */
	ck_assert(!scoreboard_pool(reader, 0, &seen));
	scoreboard_pool_write(place, &now);
	memset(place->kind, 'k', sizeof(place->kind));
	memset(place->error, 'e', sizeof(place->error));
	ck_assert(scoreboard_pool(reader, 0, &seen));
	ck_assert_uint_eq(strlen(seen.kind), sizeof(seen.kind) - 1);
	ck_assert_uint_eq(strlen(seen.error), sizeof(seen.error) - 1);
	scoreboard_pool_end(place);
	ck_assert(!scoreboard_pool(reader, 0, &seen));
}
END_TEST

START_TEST(pools_run_out)
{
	struct scoreboard_pool *last = NULL;

	for (int i = 0; i < SCOREBOARD_POOLS; i++)
		ck_assert_ptr_nonnull(last = scoreboard_pool_begin(writer));
	ck_assert_ptr_null(scoreboard_pool_begin(writer));
	scoreboard_pool_end(last);
	ck_assert_ptr_eq(scoreboard_pool_begin(writer), last);
	scoreboard_pool_end(NULL);
}
END_TEST

START_TEST(e2_start_time_tells_processes_apart)
{
	uint64_t own = process_start_time(getpid());
	ck_assert_uint_gt(own, 0);
	ck_assert_uint_eq(own, process_start_time(getpid()));
	ck_assert_uint_gt(process_start_time(1), 0);
	ck_assert_uint_eq(process_start_time(-7), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("scoreboard");
	TCase *tests = unit_case(suite, "scoreboard");

	tcase_add_checked_fixture(tests, boards_open, boards_close);
	tcase_add_test(tests, e2_reader_sees_what_the_writer_says);
	tcase_add_test(tests, e2_tasks_come_and_go);
	tcase_add_test(tests, e2_slots_run_out);
	tcase_add_test(tests, e2_slot_torn_by_a_crash_is_reported);
	tcase_add_test(tests, e2_values_out_of_range_are_not_believed);
	tcase_add_test(tests, e2_hostile_head_misleads_nobody);
	tcase_add_test(tests, e2_reader_beside_the_writer_sees_whole_slots);
	tcase_add_test(tests, e2_other_memories_are_refused);
	tcase_add_test(tests, e2_memory_cannot_be_resized);
	tcase_add_test(tests, e2_memory_outlives_its_writer);
	tcase_add_test(tests, e2_retired_board_shows_nothing);
	tcase_add_test(tests, pools_are_shown_whole_or_not_at_all);
	tcase_add_test(tests, pools_run_out);
	tcase_add_test(tests, e2_start_time_tells_processes_apart);
	return unit_run(suite);
}
