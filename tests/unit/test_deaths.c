#include "supervisor/deaths.h"

#include <event2/event.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "common/scoreboard.h"
#include "tests/unit/unit.h"

static struct event_base *base;
static struct procmsg_channel *supervisor, *scheduler;
static struct deaths *deaths;
static struct scoreboard *board, *writer;
static struct procmsg_death last;
static int64_t ids[8];
static int reports;

static void
on_message(const struct procmsg *message, void *argument)
{
	(void)argument;
	ck_assert_int_eq(message->type, PROCMSG_DEATH_REPORT);
	ck_assert_uint_ge(message->size, sizeof last);
	memcpy(&last, message->body, sizeof last);
	ck_assert_uint_eq(
	    message->size, sizeof last + last.started * sizeof *ids);
	memcpy(ids, (const char *)message->body + sizeof last,
	    last.started * sizeof *ids);
	reports++;
}

static void
on_end(const char *reason, void *argument)
{
	(void)reason;
	(void)argument;
}

static void
open_all(void)
{
	int fds[2];
	base = event_base_new();
	ck_assert_int_eq(procmsg_pair(fds), 0);
	supervisor =
	    procmsg_channel_new(base, fds[0], on_message, on_end, NULL);
	scheduler = procmsg_channel_new(base, fds[1], on_message, on_end, NULL);
	deaths = deaths_new();
	board = scoreboard_new();
	writer = scoreboard_open(dup(scoreboard_fd(board)));
}

static void
close_all(void)
{
	procmsg_channel_free(supervisor);
	procmsg_channel_free(scheduler);
	event_base_free(base);
	deaths_free(deaths);
	scoreboard_free(writer);
	scoreboard_free(board);
}

static void
turn(void)
{
	for (int i = 0; i < 5; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static const struct procmsg_death death = {
    .worker_id = 77, .pid = 123, .signal = 9, .cause = "killed"};

START_TEST(e2_those_inside_the_worker_come_first)
{
	scoreboard_task_begin(writer, 41, "q", "k");
	int slot = scoreboard_task_begin(writer, 42, "q", "k");
	int other = scoreboard_task_begin(writer, 43, "q", "k");
	scoreboard_set_inside(writer, slot, true);
	scoreboard_set_inside(writer, other, true);
	scoreboard_set_inside(writer, other, false);
	deaths_send(deaths, deaths_add(deaths, &death, board), supervisor);
	turn();
	ck_assert_int_eq(reports, 1);
	ck_assert_uint_eq(last.started, 3);
	ck_assert_uint_eq(last.inside, 1);
	ck_assert_int_eq(ids[0], 42);
	/* The next task in its slot is not inside. */
	scoreboard_task_end(writer, slot);
	scoreboard_task_begin(writer, 44, "q", "k");
	deaths_send(deaths, deaths_add(deaths, &death, board), supervisor);
	turn();
	ck_assert_uint_eq(last.inside, 0);
}
END_TEST

START_TEST(e2_report_says_what_was_running)
{
	scoreboard_task_begin(writer, 41, "q", "k");
	scoreboard_task_begin(writer, 42, "q", "k");
	uint64_t number = deaths_add(deaths, &death, board);
	deaths_send(deaths, number, supervisor);
	turn();
	ck_assert_int_eq(reports, 1);
	ck_assert_uint_eq(last.number, number);
	ck_assert_int_eq(last.worker_id, 77);
	ck_assert_int_eq(last.signal, 9);
	ck_assert_str_eq(last.cause, "killed");
	ck_assert_int_eq(last.started_known, 1);
	ck_assert_uint_eq(last.started, 2);
	ck_assert_int_eq(ids[0], 41);
	ck_assert_int_eq(ids[1], 42);
}
END_TEST

START_TEST(e2_report_of_a_torn_board_says_so)
{
	int slot = scoreboard_task_begin(writer, 41, "q", "k");
	scoreboard_task_begin(writer, 42, "q", "k");
	/* a group that no handler can have stands for a crash in mid-write */
	scoreboard_set_group(writer, slot, 1, 1);
	deaths_send(deaths, deaths_add(deaths, &death, board), supervisor);
	turn();
	ck_assert_int_eq(last.started_known, 0);
	ck_assert_uint_eq(last.started, 1);
	ck_assert_int_eq(ids[0], 42);
}
END_TEST

START_TEST(e2_reports_are_kept_until_acknowledged)
{
	uint64_t first = deaths_add(deaths, &death, board);
	uint64_t second = deaths_add(deaths, &death, board);
	uint64_t third = deaths_add(deaths, &death, board);
	ck_assert_int_eq(deaths_pending(deaths), 3);
	deaths_acknowledge(deaths, second);
	deaths_acknowledge(deaths, second);
	deaths_acknowledge(deaths, 999);
	ck_assert_int_eq(deaths_pending(deaths), 2);
	deaths_send_all(deaths, supervisor);
	turn();
	ck_assert_int_eq(reports, 2);
	ck_assert_uint_eq(last.number, third);
	deaths_acknowledge(deaths, third);
	/* the list's end is right again */
	uint64_t fourth = deaths_add(deaths, &death, board);
	deaths_acknowledge(deaths, first);
	deaths_acknowledge(deaths, fourth);
	ck_assert_int_eq(deaths_pending(deaths), 0);
}
END_TEST

START_TEST(e2_report_outlives_a_scheduler_that_is_gone)
{
	deaths_add(deaths, &death, board);
	scheduler = procmsg_channel_free(scheduler);
	turn();
	deaths_send_all(deaths, supervisor);
	ck_assert_int_eq(deaths_pending(deaths), 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("deaths");
	TCase *tests = unit_case(suite, "deaths");

	tcase_add_checked_fixture(tests, open_all, close_all);
	tcase_add_test(tests, e2_those_inside_the_worker_come_first);
	tcase_add_test(tests, e2_report_says_what_was_running);
	tcase_add_test(tests, e2_report_of_a_torn_board_says_so);
	tcase_add_test(tests, e2_reports_are_kept_until_acknowledged);
	tcase_add_test(tests, e2_report_outlives_a_scheduler_that_is_gone);
	return unit_run(suite);
}
