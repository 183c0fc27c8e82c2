/* How handlers' programs run, what they say and how they end. */
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/start_time.h"
#include "tests/unit/trial.h"
#include "tests/unit/unit.h"

static const struct {
	const char *script;
	enum outcome_kind kind;
	const char *error;
} ends[] = {
    {"exit 0", OUTCOME_SUCCEEDED, NULL},
    {"exit 65", OUTCOME_FAILED_HARD, "exit status 65"},
    {"echo busy >&2; exit 75", OUTCOME_TRY_LATER, "exit status 75: busy"},
    {"exit 126", OUTCOME_CANNOT_RUN, "exit status 126"},
    {"exit 127", OUTCOME_CANNOT_RUN, "exit status 127"},
    {"exit 1", OUTCOME_FAILED, "exit status 1"},
    {"printf 'a\\nb\\n' >&2; exit 255", OUTCOME_FAILED,
	"exit status 255:\na\nb"},
    {"kill -SEGV $$", OUTCOME_FAILED, "killed by signal 11 (SIGSEGV)"},
    {"kill -TERM $$", OUTCOME_FAILED, "killed by signal 15 (SIGTERM)"},
    {"kill -40 $$", OUTCOME_FAILED, "killed by signal 40"},
};

START_TEST(G1_each_end_has_its_outcome)
{
	struct rlimit no_core = {0};

	setrlimit(RLIMIT_CORE, &no_core);
	trial_check(ends[_i].script, ends[_i].kind, NULL, ends[_i].error);
}
END_TEST

static const struct {
	const char *script, *result;
} results[] = {
    {"cat", "{}"},
    {"printf '{\"n\": 12345678901234567890, \"x\": 0.10}'",
	"{\"n\": 12345678901234567890, \"x\": 0.10}"},
    {"echo hello", "\"hello\\n\""},
    {"printf '\\303\\244'", "\"\xc3\xa4\""},
    {"echo noise >&2; exit 0", NULL},
    {"exec >&- 2>&- <&-; sleep 0.05", NULL},
};

START_TEST(stdout_is_the_result)
{
	trial_check(
	    results[_i].script, OUTCOME_SUCCEEDED, results[_i].result, NULL);
}
END_TEST

START_TEST(stdout_that_is_no_text_fails_for_good)
{
	trial_check(_i == 0 ? "printf 'a\\000b'" : "printf '\\377'",
	    OUTCOME_FAILED_HARD, NULL,
	    "standard output is not valid UTF-8 text");
}
END_TEST

START_TEST(stderr_that_is_no_text_is_kept)
{
	struct trial_task task = trial_run("printf 'x\\377\\033y' >&2; exit 3");

	trial_check_log(" 7 x\\xff\\x1by\n");
	ck_assert_str_eq(task.error, "exit status 3: x\xff\x1by");
	trial_task_free(&task);
}
END_TEST

START_TEST(F1_endless_stdout_is_killed)
{
	struct trial_task task;

	trial.config.max_result_bytes = 100000;
	task = trial_run("echo begun >&2; trap '' PIPE TERM; yes & yes");
	ck_assert_int_eq(task.kind, OUTCOME_FAILED_HARD);
	ck_assert_str_eq(task.error, "standard output is larger than "
				     "max_result (100000 bytes): begun");
	trial_task_free(&task);
}
END_TEST

START_TEST(one_gigabyte_on_stdout)
{
	struct trial_task task =
	    trial_run("head -c 1073741824 /dev/zero | tr '\\0' x");

	ck_assert_int_eq(task.kind, OUTCOME_FAILED_HARD);
	ck_assert_msg(strncmp(task.error, "standard output is larger", 25) == 0,
	    "%s", task.error);
	ck_assert_int_lt(task.ran_ms, 3000);
	trial_task_free(&task);
}
END_TEST

START_TEST(stdout_may_be_as_large_as_max_result)
{
	struct trial_task task;

	trial.config.max_result_bytes = 70000;
	task = trial_run("head -c 69998 /dev/zero | tr '\\0' 7");
	ck_assert_int_eq(task.kind, OUTCOME_SUCCEEDED);
	ck_assert_uint_eq(strlen(task.result), 69998);
	trial_task_free(&task);
}
END_TEST

START_TEST(I2_stderr_is_logged_line_by_line)
{
	char kind[16];

	trial_check("echo one >&2; echo two >&2; printf three >&2",
	    OUTCOME_SUCCEEDED, NULL, NULL);
	ck_assert_int_eq(trial_log_lines(), 3);
	snprintf(kind, sizeof(kind), "%d", (int)LOG_HANDLER_OUTPUT);
	ck_assert(strncmp(trial_log.data, kind, strlen(kind)) == 0);
	trial_check_log(" 7 two\n");
	trial_check_log(" 7 three\n");
}
END_TEST

START_TEST(I2_stderr_flood_is_suppressed)
{
	struct trial_task task = trial_run(
	    "yes 0123456789 | head -n 300000 >&2; echo end >&2; exit 1");

	ck_assert_int_eq(trial_log_lines(), 1001);
	trial_check_log(" 7 suppressed 299001 lines\n");
	ck_assert_uint_le(strlen(task.error), 4096 + 20);
	ck_assert_str_eq(
	    task.error + strlen(task.error) - 15, "\n0123456789\nend");
	trial_task_free(&task);
}
END_TEST

START_TEST(payload_is_stdin)
{
	struct trial_task task = {0};
	size_t size = 900000;
	char *payload = malloc(size + 1);

	memset(payload, 'x', size);
	payload[0] = payload[size - 1] = '"';
	payload[size] = '\0';
	task.task.payload = payload;
	task.task.payload_size = size;
	trial_shell("cat");
	trial_start(&task);
	trial_wait(1);
	ck_assert_str_eq(task.result, payload);
	trial_task_free(&task);
	free(payload);
}
END_TEST

START_TEST(E1_five_megabytes_that_nobody_reads)
{
	struct trial_task task = {.task.payload_size = 5 << 20};
	char *payload = calloc(1, task.task.payload_size);

	task.task.payload = payload;
	trial_shell(_i == 0 ? "sleep 0.2" : "exec <&-; sleep 0.2");
	trial_start(&task);
	trial_wait(1);
	ck_assert_int_eq(task.kind, OUTCOME_SUCCEEDED);
	trial_task_free(&task);
	free(payload);
}
END_TEST

static bool
is_running(pid_t pid)
{
	char path[64], state = 'X';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (file == NULL)
		return false;
	(void)!fscanf(file, "%*d (%*[^)]) %c", &state);
	fclose(file);
	return state != 'Z' && state != 'X';
}

START_TEST(E2_children_left_behind_are_killed)
{
	struct trial_task task = trial_run("trap '' TERM; sleep 60 & echo $!; "
					   "(sleep 61 & sleep 62) & exit 0");
	pid_t left;

	ck_assert_int_eq(task.kind, OUTCOME_SUCCEEDED);
	ck_assert_int_lt(task.ran_ms, 5000);
	left = (pid_t)strtol(task.result, NULL, 10);
	ck_assert_int_gt(left, 1);
	for (int i = 0; i < 200 && is_running(left); i++)
		trial_turn(10);
	ck_assert(!is_running(left));
	trial_task_free(&task);
}
END_TEST

/* It left the group and holds the pipes: its end is not waited for. */
START_TEST(E1_end_of_file_is_not_waited_for)
{
	struct trial_task task = trial_run("setsid sleep 1.5 & "
					   "echo said >&2; echo 1; exit 0");

	ck_assert_int_eq(task.kind, OUTCOME_SUCCEEDED);
	ck_assert_str_eq(task.result, "1\n");
	ck_assert_int_lt(task.ran_ms, 1000);
	trial_check_log("said");
	trial_task_free(&task);
}
END_TEST

START_TEST(who_floods_from_another_group_is_not_waited_for)
{
	struct trial_task task = trial_run(
	    "setsid sh -c 'exec timeout 1.5 yes >&2' & sleep 0.1; exit 2");

	ck_assert_int_eq(task.kind, OUTCOME_FAILED);
	ck_assert_int_lt(task.ran_ms, 1400);
	trial_task_free(&task);
}
END_TEST

static bool
slot_has_group(pid_t *ret_group)
{
	struct scoreboard_slot slot;
	bool torn;

	if (!scoreboard_slot(trial.scoreboard, 0, &slot, &torn) ||
	    slot.group == 0)
		return false;
	ck_assert_int_eq(slot.task, 7);
	ck_assert_uint_eq(slot.group_start, process_start_time(slot.group));
	*ret_group = slot.group;
	return true;
}

START_TEST(E2_its_group_is_in_the_scoreboard)
{
	struct trial_task task = {0};
	pid_t group = 0;

	trial_shell("exec sleep 60");
	trial_start(&task);
	while (!slot_has_group(&group))
		event_base_loop(trial.base, EVLOOP_ONCE);
	ck_assert_int_eq(getpgid(group), group);
	kill(-group, SIGKILL);
	trial_wait(1);
	ck_assert_str_eq(task.error, "killed by signal 9 (SIGKILL)");
	trial_task_free(&task);
}
END_TEST

/* In a process of its own: it is killed as a worker may be. */
static void
worker_that_dies(int report)
{
	struct trial_task task = {0};
	pid_t group = 0;

	trial_prepare();
	trial_shell("exec sleep 60");
	trial_start(&task);
	while (!slot_has_group(&group))
		event_base_loop(trial.base, EVLOOP_ONCE);
	(void)!write(report, &group, sizeof(group));
	raise(SIGKILL);
}

START_TEST(E2_dies_with_its_worker)
{
	int report[2];
	pid_t worker, group;

	trial_shell("exit 0");
	ck_assert_int_eq(pipe(report), 0);
	worker = fork();
	if (worker == 0)
		worker_that_dies(report[1]);
	ck_assert_int_eq(read(report[0], &group, sizeof(group)), sizeof(group));
	ck_assert_int_eq(waitpid(worker, NULL, 0), worker);
	for (int i = 0; i < 200 && is_running(group); i++)
		usleep(10000);
	ck_assert(!is_running(group));
	ck_assert_int_eq(waitpid(group, NULL, 0), group); /* adopted by us */
}
END_TEST

/* The loop turns while handlers burn what processor there is. */
START_TEST(E3_work_runs_beside_the_loop)
{
	enum { TASKS = 8 };
	struct trial_task tasks[TASKS] = {0};
	struct mono began = mono_now();

	trial_shell("timeout 0.5 sh -c 'while :; do :; done'; exit 0");
	for (int i = 0; i < TASKS; i++)
		trial_start(&tasks[i]);
	trial_turn(100);
	ck_assert_int_lt(mono_ms_between(began, mono_now()), 400);
	ck_assert_int_eq(trial.done, 0);
	trial_wait(TASKS);
	for (int i = 0; i < TASKS; i++)
		trial_task_free(&tasks[i]);
}
END_TEST

START_TEST(A1_tasks_run_at_the_same_time)
{
	struct trial_task tasks[3] = {0};

	trial_shell("sleep 0.5; cat");
	for (int i = 0; i < 3; i++) {
		tasks[i].task.id = 10 + i;
		trial_start(&tasks[i]);
	}
	trial_wait(3);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_lt(tasks[i].ran_ms, 1000);
		ck_assert_str_eq(tasks[i].result, "{}");
		trial_task_free(&tasks[i]);
	}
}
END_TEST

START_TEST(many_tasks_leave_no_descriptor)
{
	enum { TASKS = 200 };
	struct trial_task *tasks = calloc(TASKS, sizeof(*tasks));
	int before, after;

	trial_shell("read x; echo $x; [ $MUSTER_TASK -ne 57 ]");
	before = dup(0);
	close(before);
	for (int i = 0; i < TASKS; i++) {
		tasks[i].task.id = i + 1;
		trial_start(&tasks[i]);
	}
	trial_wait(TASKS);
	after = dup(0);
	close(after);
	ck_assert_int_eq(before, after);
	for (int i = 0; i < TASKS; i++) {
		ck_assert_int_eq(tasks[i].kind,
		    i == 56 ? OUTCOME_FAILED : OUTCOME_SUCCEEDED);
		trial_task_free(&tasks[i]);
	}
	free(tasks);
}
END_TEST

static void
add_streams(Suite *suite)
{
	TCase *tests = trial_case(suite, "streams");

	tcase_add_loop_test(tests, stdout_is_the_result, 0,
	    sizeof(results) / sizeof(results[0]));
	tcase_add_loop_test(tests, stdout_that_is_no_text_fails_for_good, 0, 2);
	tcase_add_test(tests, stderr_that_is_no_text_is_kept);
	tcase_add_test(tests, F1_endless_stdout_is_killed);
	tcase_add_test(tests, one_gigabyte_on_stdout);
	tcase_add_test(tests, stdout_may_be_as_large_as_max_result);
	tcase_add_test(tests, I2_stderr_is_logged_line_by_line);
	tcase_add_test(tests, I2_stderr_flood_is_suppressed);
	tcase_add_test(tests, payload_is_stdin);
	tcase_add_loop_test(tests, E1_five_megabytes_that_nobody_reads, 0, 2);
}

static void
add_ends(Suite *suite)
{
	TCase *tests = trial_case(suite, "ends");

	tcase_add_loop_test(tests, G1_each_end_has_its_outcome, 0,
	    sizeof(ends) / sizeof(ends[0]));
	tcase_add_test(tests, E2_children_left_behind_are_killed);
	tcase_add_test(tests, E1_end_of_file_is_not_waited_for);
	tcase_add_test(tests, who_floods_from_another_group_is_not_waited_for);
	tcase_add_test(tests, E2_its_group_is_in_the_scoreboard);
	tcase_add_test(tests, E2_dies_with_its_worker);
	tcase_add_test(tests, E3_work_runs_beside_the_loop);
	tcase_add_test(tests, A1_tasks_run_at_the_same_time);
	tcase_add_test(tests, many_tasks_leave_no_descriptor);
}

int
main(void)
{
	Suite *suite = suite_create("exec");

	add_streams(suite);
	add_ends(suite);
	return unit_run(suite);
}
