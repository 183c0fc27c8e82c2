/* How programs of handlers are started, and what they find. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/trial.h"
#include "tests/unit/unit.h"

static void
check_not_run(const char *program, enum outcome_kind kind, const char *error)
{
	struct trial_task task = {0};

	trial_open((char *[]){strdupa(program), NULL});
	trial_start(&task);
	trial_wait(1);
	ck_assert_int_eq(task.kind, kind);
	ck_assert_str_eq(task.error, error);
	trial_task_free(&task);
}

START_TEST(G1_a_program_that_does_not_exist)
{
	check_not_run("/nonexistent/program", OUTCOME_CANNOT_RUN,
	    "cannot run /nonexistent/program: No such file or directory");
}
END_TEST

START_TEST(G1_a_program_that_is_on_no_path)
{
	check_not_run("no-such-program", OUTCOME_CANNOT_RUN,
	    "cannot run no-such-program: No such file or directory");
}
END_TEST

START_TEST(G1_a_program_that_is_not_executable)
{
	check_not_run("/etc/passwd", OUTCOME_CANNOT_RUN,
	    "cannot run /etc/passwd: Permission denied");
}
END_TEST

START_TEST(G1_a_file_that_is_no_program)
{
	char path[64], error[256];
	int fd;

	snprintf(path, sizeof(path), "/tmp/test_exec_start.%d", (int)getpid());
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "hello", 5), 5);
	fchmod(fd, 0755);
	close(fd);
	snprintf(
	    error, sizeof(error), "cannot run %s: Exec format error", path);
	check_not_run(path, OUTCOME_CANNOT_RUN, error);
	unlink(path);
}
END_TEST

START_TEST(G1_a_working_directory_that_does_not_exist)
{
	trial.handler_config.working_directory = strdupa("/nonexistent");
	trial_check("exit 0", OUTCOME_CANNOT_RUN, NULL,
	    "cannot enter working_directory /nonexistent: "
	    "No such file or directory");
}
END_TEST

START_TEST(a_program_is_found_on_the_path)
{
	struct trial_task task = {0};

	trial_open((char *[]){(char[]){"pwd"}, NULL});
	trial_start(&task);
	trial_wait(1);
	ck_assert_str_eq(task.result, "\"/\\n\"");
	trial_task_free(&task);
}
END_TEST

START_TEST(working_directory_is_entered)
{
	trial.handler_config.working_directory = strdupa("/proc");
	trial_check("pwd", OUTCOME_SUCCEEDED, "\"/proc\\n\"", NULL);
}
END_TEST

START_TEST(no_descriptor_left_means_later)
{
	struct rlimit old, few;
	struct trial_task task = {0};

	trial_shell("exit 0");
	getrlimit(RLIMIT_NOFILE, &old);
	few = old;
	few.rlim_cur = 12;
	setrlimit(RLIMIT_NOFILE, &few);
	trial_start(&task);
	trial_wait(1);
	setrlimit(RLIMIT_NOFILE, &old);
	ck_assert_int_eq(task.kind, OUTCOME_TRY_LATER);
	ck_assert_str_eq(
	    task.error, "cannot start a process: Too many open files");
	trial_task_free(&task);
}
END_TEST

/* The environment, sorted, one variable a line; the deadline without value. */
#define SHOW_ENVIRONMENT                                                       \
	"/usr/bin/env | /usr/bin/sort | /bin/grep -v -e ^_= -e ^PWD= "         \
	"-e ^OLDPWD= -e ^SHLVL= | "                                            \
	"/bin/sed -e 's/\\(DEADLINE=\\)[0-9]*[.][0-9][0-9][0-9]$/\\1/' "       \
	"-e 's/\\(INPUTS=.proc.\\)[0-9]*\\(.fd.\\)[0-9]*/\\1\\2/'"

START_TEST(environment_is_a_clean_slate)
{
	char *named[] = {strdupa("LANG=de_DE.UTF-8"), strdupa("APP=a=b"),
	    strdupa("MUSTER_TASK=1"), strdupa("EMPTY="), NULL};

	clearenv();
	setenv("PATH", "/usr/bin:/bin", 1);
	setenv("HOME", "/var/lib/musterd", 1);
	setenv("LANG", "C", 1);
	setenv("TZ", "Europe/Berlin", 1);
	setenv("NOTIFY_SOCKET", "/run/systemd/notify", 1);
	setenv("WATCHDOG_USEC", "1", 1);
	setenv("WATCHDOG_PID", "1", 1);
	setenv("CREDENTIALS_DIRECTORY", "/run/credentials", 1);
	setenv("PGPASSWORD", "secret", 1);
	trial.handler_config.environment = named;
	struct trial_task task = {.task = {.id = 42,
				      .flow = 9,
				      .attempt = 3,
				      .lease = 17,
				      .timeout_ms = 30000}};
	trial_shell(SHOW_ENVIRONMENT);
	trial_start(&task);
	trial_wait(1);
	ck_assert_str_eq(task.result,
	    "\"APP=a=b\\nEMPTY=\\nHOME=/var/lib/musterd\\n"
	    "LANG=de_DE.UTF-8\\nMUSTER_ATTEMPT=3\\nMUSTER_DEADLINE=\\n"
	    "MUSTER_FLOW=9\\nMUSTER_INPUTS=/proc//fd/\\nMUSTER_KIND=resize\\n"
	    "MUSTER_LOG=json\\nMUSTER_TASK=42\\nMUSTER_TOKEN=17-42\\nPATH=/usr/"
	    "bin:/bin\\n"
	    "TZ=Europe/Berlin\\n\"");
	trial_task_free(&task);
}
END_TEST

START_TEST(deadline_is_in_unix_seconds)
{
	struct trial_task task = {.task.timeout_ms = 30000};
	double left;

	trial_shell("echo $MUSTER_DEADLINE");
	trial_start(&task);
	trial_wait(1);
	left = strtod(task.result, NULL) - (double)wall_now_us() / 1e6;
	ck_assert_double_gt(left, 25);
	ck_assert_double_le(left, 30);
	trial_task_free(&task);
}
END_TEST

/* Also for a program that the handler starts without its descriptors. */
START_TEST(A2_inputs_are_a_readable_file)
{
	struct trial_task task = {
	    .task.inputs = "{\"41\": {\"state\": \"succeeded\"}}",
	    .task.inputs_size = 30};

	trial_shell("cat \"$MUSTER_INPUTS\" && "
		    "(exec 3>&-; setsid cat \"$MUSTER_INPUTS\" >/dev/null) && "
		    "cat \"$MUSTER_INPUTS\" >/dev/null && "
		    "! (echo x >\"$MUSTER_INPUTS\") 2>/dev/null");
	trial_start(&task);
	trial_wait(1);
	ck_assert_pstr_eq(task.error, NULL);
	ck_assert_str_eq(task.result, task.task.inputs);
	trial_task_free(&task);
}
END_TEST

START_TEST(A2_without_needs_the_inputs_are_empty)
{
	trial_check("cat \"$MUSTER_INPUTS\"", OUTCOME_SUCCEEDED, "{}", NULL);
}
END_TEST

/* ls has a fourth, of the folder that it reads. */
START_TEST(descriptors_are_closed)
{
	struct trial_task task = {0};
	int high, low = open("/dev/null", O_RDONLY);

	high = fcntl(low, F_DUPFD, 300);
	ck_assert_int_ge(high, 300);
	trial_open(
	    (char *[]){strdupa("/bin/ls"), strdupa("/proc/self/fd"), NULL});
	trial_start(&task);
	trial_wait(1);
	ck_assert_str_eq(task.result, "\"0\\n1\\n2\\n3\\n\"");
	trial_task_free(&task);
	close(low);
	close(high);
}
END_TEST

/* Those too that libc keeps for itself. */
static void
ignore_all_signals(void)
{
	struct {
		void (*handler)(int);
		unsigned long rest[15];
	} ignored = {SIG_IGN, {0}};

	for (int number = 1; number < NSIG; number++)
		syscall(
		    SYS_rt_sigaction, number, &ignored, NULL, (NSIG - 1) / 8);
	signal(SIGCHLD, SIG_DFL);
}

START_TEST(signals_are_default_and_none_is_blocked)
{
	sigset_t all;

	ignore_all_signals();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	trial_check("grep -E 'Sig(Blk|Ign)' /proc/self/status",
	    OUTCOME_SUCCEEDED,
	    "\"SigBlk:\\t0000000000000000\\nSigIgn:\\t0000000000000000\\n\"",
	    NULL);
	sigset_t now;
	sigprocmask(SIG_SETMASK, NULL, &now);
	ck_assert(sigismember(&now, SIGUSR1)); /* ours is as it was */
}
END_TEST

static bool
has_all_signals(void)
{
	struct trial_task task = {0};
	bool all;

	trial_start(&task);
	trial_wait(trial.done + 1);
	all = strcmp(task.result, "\"SigIgn:\\t0000000000000000\\n\"") == 0;
	trial_task_free(&task);
	return all;
}

START_TEST(what_is_ignored_later_is_seen_within_a_second)
{
	struct mono began = mono_now();

	trial_shell("grep SigIgn /proc/self/status");
	ck_assert(has_all_signals());
	signal(SIGUSR1, SIG_IGN);
	while (!has_all_signals())
		ck_assert_int_lt(mono_ms_between(began, mono_now()), 10000);
	ck_assert(has_all_signals());
}
END_TEST

static long
own_oom_score(void)
{
	long score = 0;
	FILE *file = fopen("/proc/self/oom_score_adj", "r");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fscanf(file, "%ld", &score), 1);
	fclose(file);
	return score;
}

START_TEST(limits_are_those_of_a_handler)
{
	long before = own_oom_score();
	char wanted[64];

	snprintf(wanted, sizeof(wanted), "\"1024\\n%ld\\n\"",
	    before + 200 > 1000 ? 1000 : before + 200);
	trial_check("ulimit -Sn; cat /proc/self/oom_score_adj",
	    OUTCOME_SUCCEEDED, wanted, NULL);
	ck_assert_int_eq(own_oom_score(), before);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("exec_start");
	TCase *tests = trial_case(suite, "start");

	tcase_add_test(tests, G1_a_program_that_does_not_exist);
	tcase_add_test(tests, G1_a_program_that_is_on_no_path);
	tcase_add_test(tests, G1_a_program_that_is_not_executable);
	tcase_add_test(tests, G1_a_file_that_is_no_program);
	tcase_add_test(tests, G1_a_working_directory_that_does_not_exist);
	tcase_add_test(tests, a_program_is_found_on_the_path);
	tcase_add_test(tests, working_directory_is_entered);
	tcase_add_test(tests, no_descriptor_left_means_later);
	tcase_add_test(tests, environment_is_a_clean_slate);
	tcase_add_test(tests, deadline_is_in_unix_seconds);
	tcase_add_test(tests, A2_inputs_are_a_readable_file);
	tcase_add_test(tests, A2_without_needs_the_inputs_are_empty);
	tcase_add_test(tests, descriptors_are_closed);
	tcase_add_test(tests, signals_are_default_and_none_is_blocked);
	tcase_add_test(tests, what_is_ignored_later_is_seen_within_a_second);
	tcase_add_test(tests, limits_are_those_of_a_handler);
	return unit_run(suite);
}
