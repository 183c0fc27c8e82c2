#include "supervisor/reaper.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "common/start_time.h"
#include "tests/unit/unit.h"

static struct event_base *base;
static struct reaper *reaper;
static struct scoreboard *board, *writer;
static int ends, cleans;
static siginfo_t last;

static void
on_clean(void *argument)
{
	(void)argument;
	cleans++;
}

static void
on_end(const siginfo_t *info, void *argument)
{
	(void)argument;
	last = *info;
	ends++;
}

static void
boards_open(void)
{
	base = event_base_new();
	board = scoreboard_new();
	writer = scoreboard_open(dup(scoreboard_fd(board)));
}

static void
boards_close(void)
{
	scoreboard_free(writer);
	scoreboard_free(board);
	reaper = reaper_free(reaper);
	event_base_free(base);
	ck_assert_int_lt(waitpid(-1, NULL, WNOHANG), 0);
	ck_assert_int_eq(errno, ECHILD);
}

/* Runs the loop until `*value` reaches `wanted`, 3 s at most. */
static void
run_until(const int *value, int wanted)
{
	struct mono limit = mono_add_ms(mono_now(), 3000);
	struct timeval step = {.tv_usec = 10000};
	while (*value < wanted && mono_ms_between(mono_now(), limit) > 0) {
		event_base_loopexit(base, &step);
		event_base_loop(base, 0);
	}
	ck_assert_int_ge(*value, wanted);
}

static pid_t
sleeper(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		for (;;)
			pause();
	}
	setpgid(pid, pid);
	return pid;
}

START_TEST(e2_watcher_hears_of_the_end_before_the_reaping)
{
	reaper = reaper_new(base, on_clean, NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit(7);
	reaper_watch(reaper, pid, on_end, NULL);
	ck_assert(!reaper_is_clean(reaper));
	run_until(&cleans, 1);
	ck_assert_int_eq(ends, 1);
	ck_assert_int_eq(last.si_pid, pid);
	ck_assert_int_eq(last.si_status, 7);
	ck_assert(reaper_is_clean(reaper));
}
END_TEST

/* What a dead child leaves: its child, that child's, and one in a session of
 * its own. */
START_TEST(e2_orphans_are_killed_to_the_last)
{
	reaper = reaper_new(base, on_clean, NULL);
	pid_t pid = fork();
	if (pid == 0) {
		if (fork() == 0) {
			if (fork() == 0) {
				setsid();
				if (fork() == 0)
					setpgid(0, 0);
			}
			for (;;)
				pause();
		}
		usleep(100000);
		_exit(0);
	}
	reaper_watch(reaper, pid, on_end, NULL);
	run_until(&cleans, 1);
	ck_assert(reaper_is_clean(reaper));
}
END_TEST

START_TEST(e2_children_from_before_are_left_alone)
{
	pid_t before = sleeper();
	reaper = reaper_new(base, on_clean, NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	reaper_watch(reaper, pid, on_end, NULL);
	run_until(&cleans, 1);
	ck_assert_int_eq(waitpid(before, NULL, WNOHANG), 0);
	kill(before, SIGKILL);
	ck_assert_int_eq(waitpid(before, NULL, 0), before);
}
END_TEST

START_TEST(e2_groups_of_the_board_are_killed)
{
	pid_t pid = sleeper();
	int slot = scoreboard_task_begin(writer, 42, "q", "k");
	scoreboard_set_group(writer, slot, pid, process_start_time(pid));
	ck_assert_int_eq(reaper_kill_groups(board), 1);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

START_TEST(e2_groups_without_a_task_are_killed)
{
	pid_t pid = sleeper(), other = sleeper();
	int index =
	    scoreboard_group_begin(writer, other, process_start_time(other));

	scoreboard_group_end(writer, index);
	ck_assert_int_eq(
	    scoreboard_group_begin(writer, pid, process_start_time(pid)),
	    index);
	ck_assert_int_ge(scoreboard_group_begin(
			     writer, other, process_start_time(other) - 1),
	    0);
	ck_assert_int_eq(reaper_kill_groups(board), 1);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(waitpid(other, NULL, WNOHANG), 0);
	kill(other, SIGKILL);
	ck_assert_int_eq(waitpid(other, NULL, 0), other);
}
END_TEST

START_TEST(e2_reused_pid_is_not_hit)
{
	pid_t pid = sleeper();
	int slot = scoreboard_task_begin(writer, 42, "q", "k");
	scoreboard_set_group(writer, slot, pid, process_start_time(pid) - 1);
	ck_assert_int_eq(reaper_kill_groups(board), 0);
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

START_TEST(e2_groups_that_are_none_are_not_killed)
{
	static const pid_t wrong[] = {0, 1, -1, -2, INT32_MAX};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		int slot = scoreboard_task_begin(writer, 42, "q", "k");
		scoreboard_set_group(
		    writer, slot, wrong[i], process_start_time(getpid()));
	}
	ck_assert_int_eq(reaper_kill_groups(board), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("reaper");
	TCase *tests = unit_case(suite, "reaper");

	tcase_add_checked_fixture(tests, boards_open, boards_close);
	tcase_add_test(tests, e2_watcher_hears_of_the_end_before_the_reaping);
	tcase_add_test(tests, e2_orphans_are_killed_to_the_last);
	tcase_add_test(tests, e2_children_from_before_are_left_alone);
	tcase_add_test(tests, e2_groups_of_the_board_are_killed);
	tcase_add_test(tests, e2_groups_without_a_task_are_killed);
	tcase_add_test(tests, e2_reused_pid_is_not_hit);
	tcase_add_test(tests, e2_groups_that_are_none_are_not_killed);
	return unit_run(suite);
}
