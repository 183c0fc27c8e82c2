#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/config.h"
#include "tests/unit/config_fixture.h"
#include "tests/unit/unit.h"

/* Loads `database: dbname=x`, a line feed and `text`. */
static void
check_refused(const char *text, const char *wanted)
{
	struct text whole = TEXT_EMPTY;

	text_addf(&whole, "database: dbname=x\n%s", text);
	fixture_refuse(text_string(&whole), wanted);
	text_free(&whole);
}

START_TEST(i1_defaults)
{
	fixture_load("database: dbname=x\n");
	ck_assert_str_eq(fixture_config->database, "dbname=x");
	ck_assert_ptr_null(fixture_config->redis);
	ck_assert_str_eq(fixture_config->cluster, "default");
	ck_assert_int_ge(fixture_config->workers, 1);
	ck_assert_str_eq(fixture_config->runtime_dir, "/run/musterd");
	ck_assert_int_eq(fixture_config->log_level, LOG_LEVEL_INFO);
	ck_assert_int_eq(fixture_config->log_format, LOG_FORMAT_AUTO);
	ck_assert_int_eq(fixture_config->shutdown_timeout_ms, 30000);
	ck_assert_int_eq(fixture_config->watchdog_ms, 10000);
	ck_assert_int_eq(fixture_config->heartbeat_ms, 1000);
	ck_assert_int_eq(fixture_config->poll_interval_ms, 1000);
	ck_assert(fixture_config->prepared_statements);
	ck_assert_int_eq(fixture_config->max_payload_bytes, 1 << 20);
	ck_assert_int_eq(fixture_config->max_result_bytes, 1 << 20);
	ck_assert_int_eq(fixture_config->crash_limit, 3);
	ck_assert_ptr_null(fixture_config->admin_group);
	ck_assert_uint_eq(fixture_config->queue_count, 1);
	ck_assert_str_eq(fixture_config->queues[0].name, "default");
	ck_assert_int_eq(fixture_config->queues[0].concurrency, 50);
	ck_assert_int_eq(fixture_config->queues[0].retention_ms, 604800000);
	ck_assert_uint_eq(fixture_config->handler_count, 0);
	ck_assert_ptr_null(config_handler(fixture_config, "x"));
}
END_TEST

START_TEST(i1_default_task_limits)
{
	const struct task_defaults *limits;

	fixture_load("database: dbname=x\n");
	limits = &fixture_config->defaults;
	ck_assert_int_eq(limits->timeout_ms, 600000);
	ck_assert_int_eq(limits->grace_ms, 5000);
	ck_assert_int_eq(limits->max_attempts, 5);
	ck_assert_int_eq(limits->backoff.first_ms, 1000);
	ck_assert_int_eq(limits->backoff.max_ms, 3600000);
	ck_assert_double_eq(limits->backoff.factor, 2);
	ck_assert_double_eq(limits->backoff.jitter, 0.2);
}
END_TEST

START_TEST(i1_every_key_is_read)
{
	fixture_load(
	    "database: host=/run/postgresql dbname=app\n"
	    "direct_database: dbname=past\n"
	    "redis: redis://localhost:6379/1\n"
	    "cluster: blue\nworkers: 3\nruntime_dir: /run/x\n"
	    "log_level: debug\nlog_format: json\nshutdown_timeout: 1m\n"
	    "watchdog: 2s\nheartbeat: 500ms\npoll_interval: 1m\n"
	    "prepared_statements: false\nmax_payload: 64k\n"
	    "max_result: 2M\nadmin_group: adm\ncrash_limit: 0\n");
	ck_assert_str_eq(fixture_config->direct_database, "dbname=past");
	ck_assert_str_eq(fixture_config->redis, "redis://localhost:6379/1");
	ck_assert_str_eq(fixture_config->cluster, "blue");
	ck_assert_int_eq(fixture_config->workers, 3);
	ck_assert_str_eq(fixture_config->runtime_dir, "/run/x");
	ck_assert_int_eq(fixture_config->log_level, LOG_LEVEL_DEBUG);
	ck_assert_int_eq(fixture_config->log_format, LOG_FORMAT_JSON);
	ck_assert_int_eq(fixture_config->shutdown_timeout_ms, 60000);
	ck_assert_int_eq(fixture_config->watchdog_ms, 2000);
	ck_assert_int_eq(fixture_config->heartbeat_ms, 500);
	ck_assert_int_eq(fixture_config->poll_interval_ms, 60000);
	ck_assert(!fixture_config->prepared_statements);
	ck_assert_int_eq(fixture_config->max_payload_bytes, 65536);
	ck_assert_int_eq(fixture_config->max_result_bytes, 2 << 20);
	ck_assert_str_eq(fixture_config->admin_group, "adm");
	ck_assert_int_eq(fixture_config->crash_limit, 0);
}
END_TEST

START_TEST(i1_handlers_of_each_type)
{
	const struct handler_config *handler;

	fixture_load(
	    "database: dbname=x\n"
	    "handlers:\n"
	    "  resize: {exec: [/bin/x, '', a b], concurrency: 4,\n"
	    "    working_directory: /srv, environment: {B: 2, A: ''}}\n"
	    "  rollup: {sql: app.rollup, role: app}\n"
	    "  mark: {noop: true}\n");
	ck_assert_uint_eq(fixture_config->handler_count, 3);
	handler = config_handler(fixture_config, "resize");
	ck_assert_int_eq(handler->type, HANDLER_EXEC);
	ck_assert_str_eq(handler->argv[0], "/bin/x");
	ck_assert_str_eq(handler->argv[1], "");
	ck_assert_str_eq(handler->argv[2], "a b");
	ck_assert_ptr_null(handler->argv[3]);
	ck_assert_int_eq(handler->concurrency, 4);
	ck_assert_str_eq(handler->working_directory, "/srv");
	ck_assert_str_eq(handler->environment[0], "A=");
	ck_assert_str_eq(handler->environment[1], "B=2");
	ck_assert_ptr_null(handler->environment[2]);
	handler = config_handler(fixture_config, "rollup");
	ck_assert_int_eq(handler->type, HANDLER_SQL);
	ck_assert_str_eq(handler->function, "app.rollup");
	ck_assert_str_eq(handler->role, "app");
	ck_assert_int_eq(handler->concurrency, 0);
	ck_assert_int_eq(
	    config_handler(fixture_config, "mark")->type, HANDLER_NOOP);
	ck_assert_ptr_null(config_handler(fixture_config, "none"));
}
END_TEST

START_TEST(i1_limits_of_a_handler)
{
	const struct handler_config *handler;

	fixture_load("database: dbname=x\n"
		     "handlers:\n"
		     "  a: {exec: [/x], memory_max: 64M, cpu_max: 1.5,\n"
		     "    pids_max: 9, cpu_time: 90s, open_files: 50,\n"
		     "    core: 1G, umask: 027, nice: 19}\n"
		     "  b: {exec: [/x], umask: 0000}\n"
		     "  c: {exec: [/x]}\n");
	handler = config_handler(fixture_config, "a");
	ck_assert_int_eq(handler->memory_max_bytes, 64 << 20);
	ck_assert(handler->cpu_max > 1.49 && handler->cpu_max < 1.51);
	ck_assert_int_eq(handler->pids_max, 9);
	ck_assert_int_eq(handler->cpu_time_ms, 90000);
	ck_assert_int_eq(handler->open_files, 50);
	ck_assert_int_eq(handler->core_bytes, 1 << 30);
	ck_assert_int_eq(handler->umask, 027);
	ck_assert_int_eq(handler->nice, 19);
	ck_assert_int_eq(config_handler(fixture_config, "b")->umask, 0);
	handler = config_handler(fixture_config, "c");
	ck_assert_int_le(handler->memory_max_bytes, 0);
	ck_assert_int_lt(handler->umask, 0);
}
END_TEST

START_TEST(i1_handlers_take_over_the_defaults)
{
	const struct task_defaults *limits;

	fixture_load(
	    "database: dbname=x\n"
	    "handlers:\n"
	    "  a: {noop: true, timeout: 2m, grace: 0s, backoff: {max: 9s}}\n"
	    "defaults: {timeout: 1m, max_attempts: 7, backoff: {first: 2s}}\n");
	limits = &config_handler(fixture_config, "a")->limits;
	ck_assert_int_eq(limits->timeout_ms, 120000);
	ck_assert_int_eq(limits->grace_ms, 0);
	ck_assert_int_eq(limits->max_attempts, 7);
	ck_assert_int_eq(limits->backoff.first_ms, 2000);
	ck_assert_int_eq(limits->backoff.max_ms, 9000);
	ck_assert_double_eq(limits->backoff.factor, 2);
}
END_TEST

START_TEST(i1_conf_d_merges_in_name_order)
{
	const struct handler_config *handler;

	fixture_write("conf.d/20.yaml",
	    "workers: 4\nqueues: {b: {concurrency: 9}, a: }\n"
	    "handlers: {a: {environment: {X: 3}}}\n");
	fixture_write("conf.d/10.yaml",
	    "workers: 3\nqueues: {b: {concurrency: 8, retention: 1d}}\n"
	    "handlers: {a: {exec: [/bin/b], environment: {Y: 2}}}\n");
	fixture_write("conf.d/30.yml", "workers: 5\n");
	fixture_write("conf.d/.40.yaml", "cluster: hidden\n");
	fixture_load(
	    "database: dbname=x\nworkers: 2\nqueues: {default: }\n"
	    "handlers: {a: {exec: [/bin/a, x, y], environment: {X: 1}}}\n");
	ck_assert_int_eq(fixture_config->workers, 4);
	ck_assert_str_eq(fixture_config->cluster, "default");
	ck_assert_uint_eq(fixture_config->queue_count, 3);
	ck_assert_ptr_nonnull(config_queue(fixture_config, "a"));
	ck_assert_int_eq(config_queue(fixture_config, "b")->concurrency, 9);
	ck_assert_int_eq(
	    config_queue(fixture_config, "b")->retention_ms, 86400000);
	handler = config_handler(fixture_config, "a");
	ck_assert_str_eq(handler->argv[0], "/bin/b");
	ck_assert_ptr_null(handler->argv[1]);
	ck_assert_str_eq(handler->environment[0], "X=3");
	ck_assert_str_eq(handler->environment[1], "Y=2");
	ck_assert_ptr_null(handler->environment[2]);
}
END_TEST

START_TEST(i1_all_errors_of_all_files_in_order)
{
	fixture_write("conf.d/10.yaml", "a: 1\na: 2\n");
	check_refused("watchdgo: 10s\nworkers: 0\nqueues: []\nredis:\n",
	    AT("2:1") "unknown key 'watchdgo', did you mean 'watchdog'?\n" AT("3:10") "workers: 0 is out of range, 1 to 256\n" AT(
		"4:9") "queues: not a map by name\n" AT("5:1") "redis: has no "
							       "value\n"
							       "conf.d/"
							       "10.yaml:1:1 "
							       "unknown key "
							       "'a'\n"
							       "conf.d/"
							       "10.yaml:2:1 "
							       "duplicate key "
							       "'a', first on "
							       "line 1\n");
}
END_TEST

START_TEST(i1_errors_have_a_caret)
{
	fixture_write(
	    "musterd.yaml", "database: dbname=x\n  \nworkers:  many\n");
	ck_assert_ptr_null(config_load(fixture_file, &fixture_errors));
	ck_assert_uint_eq(fixture_errors.count, 1);
	ck_assert_str_eq(
	    fixture_errors.carets[0], "workers:  many\n          ^");
}
END_TEST

START_TEST(i1_carets_show_no_password)
{
	fixture_write("musterd.yaml",
	    "database: dbname=x password=geheim oops\n"
	    "redis: [redis://:geheim@host]\n"
	    "handlers: {a: {noop: 1, environment: {API_TOKEN: geheim}}}\n");
	ck_assert_ptr_null(config_load(fixture_file, &fixture_errors));
	ck_assert_uint_eq(fixture_errors.count, 3);
	for (size_t i = 0; i < fixture_errors.count; i++) {
		ck_assert_str_eq(fixture_errors.carets[i], "");
		ck_assert_ptr_null(
		    strstr(fixture_errors.items[i].text, "geheim"));
	}
}
END_TEST

struct refusal {
	const char *text, *wanted;
};

static const struct refusal refusals[] = {
    {"workers: '4'\n",
	AT("2:10") "workers: a quoted text is not auto or a whole number\n"},
    {"workers: 1e2\n",
	AT("2:10") "workers: '1e2' is not auto or a whole number\n"},
    {"workers: 257\n", AT("2:10") "workers: 257 is out of range, 1 to 256\n"},
    {"workers: -1\n", AT("2:10") "workers: -1 is out of range, 1 to 256\n"},
    {"workers: [4]\n", AT("2:10") "workers: not auto or a whole number\n"},
    {"crash_limit: 0x3\n", AT("2:14") "crash_limit: '0x3' is not a whole "
				      "number\n"},
    {"crash_limit: 99999999999999999999\n",
	AT("2:14") "crash_limit: 99999999999999999999 is out of range, 0 to "
		   "1000\n"},
    {"watchdog: 10\n", AT("2:11") "watchdog: '10' is not a duration such as "
				  "500ms, 30s, 2m or 7d\n"},
    {"heartbeat: 2m\n", AT("2:12") "heartbeat: 2m is out of range, 100ms to "
				   "1m\n"},
    {"max_result: 1\n", AT("2:13") "max_result: 1 is out of range, 1k to "
				   "64M\n"},
    {"prepared_statements: yes\n",
	AT("2:22") "prepared_statements: 'yes' is not true or false\n"},
    {"log_level: loud\n",
	AT("2:12") "log_level: 'loud' is not one of error, warning, notice, "
		   "info, debug\n"},
    {"cluster: a b\n", AT("2:10") "cluster: 'a b' is not a name: 1 to 100 "
				  "letters, digits and _ - . : /\n"},
    {"runtime_dir: run\n",
	AT("2:14") "runtime_dir: 'run' is not an absolute path\n"},
    {"redis: {sentinels: []}\n", AT("2:8") "redis: not a text\n"},
    {"admin_group: ''\n", AT("2:14") "admin_group: must not be empty\n"},
    {"database: dbname=y\n",
	AT("2:1") "duplicate key 'database', first on line 1\n"},
    {"gateway: 1\n", AT("2:1") "gateway: not in this build\n"},
    {"defaults: {timeout: 0s}\n",
	AT("2:21") "timeout: 0s is out of range, 1ms to 365d\n"},
    {"defaults: {backoff: {first: 2h}}\n",
	AT("2:12") "backoff: first is longer than max\n"},
    {"queues: {a b: {}}\n", AT("2:10") "'a b' is not a name: 1 to 100 "
				       "letters, digits and _ - . : /\n"},
    {"queues: {a: 5}\n", AT("2:13") "a: not a map of keys and values\n"},
    {"queues: {a: {concurency: 1}}\n",
	AT("2:14") "unknown key 'concurency', did you mean 'concurrency'?\n"},
    {"handlers: {a: {}}\n", AT("2:12") "handler 'a' needs exactly one of "
				       "exec, pool, http, sql, plugin and "
				       "noop\n"},
    {"handlers: {a: {noop: true, threads: 2}}\n",
	AT("2:28") "threads: only a handler with plugin has it\n"},
    {"handlers: {a: {noop: true, share_transaction: 2}}\n",
	AT("2:28") "share_transaction: only a handler with sql has it\n"},
    {"handlers: {a: {plugin: a.so}}\n",
	AT("2:24") "plugin: 'a.so' is not an absolute path\n"},
    {"handlers: {a: {noop: true, sql: x.y}}\n",
	AT("2:12") "handler 'a' needs exactly one of exec, pool, http, sql, "
		   "plugin and noop\n"},
    {"handlers: {a: {noop: false}}\n", AT("2:22") "noop: 'false' is not "
						  "true or sleep\n"},
    {"handlers: {a: {exec: []}}\n", AT("2:22") "exec: is empty\n"},
    {"handlers: {a: {exec: /bin/true}}\n",
	AT("2:22") "exec: not a list such as [/usr/bin/program, argument]\n"},
    {"handlers: {a: {exec: [true]}}\n",
	AT("2:23") "exec: 'true' is not an absolute path\n"},
    {"handlers: {a: {exec: [/bin/x, [y]]}}\n",
	AT("2:31") "exec: an item that is not a text\n"},
    {"handlers: {a: {sql: rollup}}\n",
	AT("2:21") "sql: 'rollup' is not schema.function\n"},
    {"handlers: {a: {sql: a.b;c}}\n",
	AT("2:21") "sql: 'a.b;c' is not schema.function\n"},
    {"handlers: {a: {chunk: 1}}\n", AT("2:16") "chunk: not in this build\n"},
    {"handlers: {a: {pool: [/x], exec: [/x]}}\n",
	AT("2:12") "handler 'a' needs exactly one of exec, pool, http, "
		   "sql, plugin and noop\n"},
    {"handlers: {a: {pool: [/x], processes: 0}}\n",
	AT("2:39") "processes: 0 is out of range, 1 to 512\n"},
    {"handlers: {a: {pool: [/x], processes: [1]}}\n",
	AT("2:39") "processes: not a map\n"},
    {"handlers: {a: {pool: [/x], processes: {min: 3, max: 2}}}\n",
	AT("2:28") "processes: min is more than max\n"},
    {"handlers: {a: {pool: [/x], recycle: {memory: 1}}}\n",
	AT("2:46") "memory: 1 is out of range, 1M to 1T\n"},
    {"handlers: {a: {noop: true, processes: 2}}\n",
	AT("2:28") "processes: only a handler with pool has it\n"},
    {"handlers: {a: {noop: true, idle_timeout: 1s, recycle: {age: 1h}}}\n",
	AT("2:28") "idle_timeout: only a handler with pool has it\n" AT(
	    "2:46") "recycle: only a handler with pool has it\n"},
    {"max_message: 1k\n",
	AT("2:14") "max_message: 1k is out of range, 4k to 256M\n"},
    {"handlers: {a: {noop: true, role: x}}\n",
	AT("2:28") "role: only a handler with sql has it\n"},
    {"handlers: {a: {noop: true, environment: {A: b}}}\n",
	AT("2:28") "environment: only a handler with exec or pool has it\n"},
    {"handlers: {a: {noop: true, memory_max: 64M, core: 0}}\n",
	AT("2:28") "memory_max: only a handler with exec or pool has it\n" AT(
	    "2:45") "core: only a handler with exec or pool has it\n"},
    {"handlers: {a: {sql: a.b, umask: 077, nice: 0}}\n",
	AT("2:26") "umask: only a handler with exec or pool has it\n" AT(
	    "2:38") "nice: only a handler with exec or pool has it\n"},
    {"handlers: {a: {pool: [/x], cpu_time: 5s}}\n",
	AT("2:28") "cpu_time: only a handler with exec has it\n"},
    {"handlers: {a: {exec: [/x], memory_max: 64}}\n",
	AT("2:40") "memory_max: 64 is out of range, 1M to 1T\n"},
    {"handlers: {a: {exec: [/x], umask: 88}}\n",
	AT("2:35") "umask: '88' is not an octal number such as 027\n"},
    {"handlers: {a: {exec: [/x], umask: 1777}}\n",
	AT("2:35") "umask: 1777 is out of range, 0000 to 0777\n"},
    {"handlers: {a: {exec: [/x], nice: -1}}\n",
	AT("2:34") "nice: -1 is out of range, 0 to 19\n"},
    {"handlers: {a: {exec: [/x], cpu_time: 999ms}}\n",
	AT("2:38") "cpu_time: 999ms is out of range, 1s to 365d\n"},
    {"handlers: {a: {exec: [/x], cpu_max: 0}}\n",
	AT("2:37") "cpu_max: 0 is out of range, 0.01 to 1024\n"},
    {"handlers: {a: {noop: true, working_directory: /}}\n",
	AT("2:28") "working_directory: only a handler with exec or pool has "
		   "it\n"},
    {"handlers: {a: {exec: [/x], environment: {1: b}}}\n",
	AT("2:42") "environment: '1' is not the name of a variable\n"},
    {"handlers: {a: {exec: [/x], environment: {MUSTER_TASK: b}}}\n",
	AT("2:42") "environment: variables called MUSTER_… are the daemon's "
		   "own\n"},
    {"handlers: {a: {exec: [/x], environment: {A: }}}\n",
	AT("2:45") "environment: an item that is not a text\n"},
    {"handlers: {a: {noop: true, backoff: {jitter: 1.5}}}\n",
	AT("2:46") "jitter: 1.5 is out of range, 0 to 1\n"},
    {"handlers: {a: {noop: true, backoff: {max: 1ms}}}\n",
	AT("2:28") "backoff: first is longer than max\n"},
    {"handlers: {a: {noop: true, concurrency: 0}}\n",
	AT("2:41") "concurrency: 0 is out of range, 1 to 8192\n"},
    {"handlers: {a: *x}\n", AT("2:15") "aliases (*x) are not allowed\n"},
    {"workers: 1\nqueues: {a: {concurrency: 8000}, b: {concurrency: 200}}\n",
	AT("3:38") "concurrency: with this queue a worker may run 8200 tasks "
		   "at a time, more than 8192; lower it or raise workers\n"},
    {"runtime_dir: ${CREDENTIALS_DIRECTORY}/x\n",
	AT("2:14") "runtime_dir: ${CREDENTIALS_DIRECTORY} is not set; the "
		   "service has it with LoadCredential=, elsewhere name "
		   "the folder in the environment\n"},
};

START_TEST(i1_what_is_wrong_is_refused)
{
	check_refused(refusals[_i].text, refusals[_i].wanted);
}
END_TEST

START_TEST(i1_concurrency_is_shared_by_the_workers)
{
	fixture_load(
	    "database: dbname=x\nworkers: 2\n"
	    "queues: {a: {concurrency: 8000}, b: {concurrency: 8000}}\n");
	ck_assert_uint_eq(fixture_config->queue_count, 3);
}
END_TEST

START_TEST(i1_queues_times_handlers_have_a_limit)
{
	struct text text = TEXT_EMPTY;

	text_add_string(&text, "queues:\n");
	for (int i = 1; i < 100; i++)
		text_addf(&text, "  q%d: {concurrency: 1}\n", i);
	text_add_string(&text, "handlers:\n");
	for (int i = 0; i < 101; i++)
		text_addf(&text, "  k%d: {noop: true}\n", i);
	check_refused(text_string(&text),
	    AT("102:1") "handlers: 101 with 100 queues are 10100 pairs, more "
			"than 10000; use several instances\n");
	text_free(&text);
}
END_TEST

START_TEST(i1_no_database_is_an_error)
{
	char *found;

	fixture_write("musterd.yaml", "workers: 1\n");
	ck_assert_ptr_null(config_load(fixture_file, &fixture_errors));
	found = fixture_all_errors();
	ck_assert_str_eq(found,
	    AT("1:1") "no database is named: add a line "
		      "such as database: host=/run/postgresql dbname=app\n");
	free(found);
}
END_TEST

START_TEST(i1_a_missing_file_is_an_error)
{
	ck_assert_ptr_null(config_load(fixture_file, &fixture_errors));
	ck_assert_uint_eq(fixture_errors.count, 1);
	ck_assert_str_eq(fixture_errors.items[0].text,
	    "cannot be read: No such file or directory");
	ck_assert_int_eq(fixture_errors.items[0].line, 0);
}
END_TEST

START_TEST(i1_errors_end_at_a_hundred)
{
	struct text text = TEXT_EMPTY;

	text_add_string(&text, "database: dbname=x\n");
	for (int i = 0; i < 5000; i++)
		text_addf(&text, "x%d: 1\n", i);
	fixture_write("musterd.yaml", text_string(&text));
	text_free(&text);
	ck_assert_ptr_null(config_load(fixture_file, &fixture_errors));
	ck_assert_uint_eq(fixture_errors.count, 100);
	ck_assert_int_eq(fixture_errors.items[0].line, 2);
	ck_assert_int_eq(fixture_errors.items[99].line, 101);
}
END_TEST

#define COUNT(list) (int)(sizeof(list) / sizeof((list)[0]))

int
main(void)
{
	Suite *suite = suite_create("config");
	TCase *tests = unit_case(suite, "load");

	tcase_add_checked_fixture(tests, fixture_setup, fixture_teardown);
	tcase_add_test(tests, i1_defaults);
	tcase_add_test(tests, i1_default_task_limits);
	tcase_add_test(tests, i1_every_key_is_read);
	tcase_add_test(tests, i1_handlers_of_each_type);
	tcase_add_test(tests, i1_handlers_take_over_the_defaults);
	tcase_add_test(tests, i1_limits_of_a_handler);
	tcase_add_test(tests, i1_conf_d_merges_in_name_order);
	tcase_add_test(tests, i1_concurrency_is_shared_by_the_workers);
	tests = unit_case(suite, "errors");
	tcase_add_checked_fixture(tests, fixture_setup, fixture_teardown);
	tcase_add_loop_test(
	    tests, i1_what_is_wrong_is_refused, 0, COUNT(refusals));
	tcase_add_test(tests, i1_all_errors_of_all_files_in_order);
	tcase_add_test(tests, i1_errors_have_a_caret);
	tcase_add_test(tests, i1_carets_show_no_password);
	tcase_add_test(tests, i1_queues_times_handlers_have_a_limit);
	tcase_add_test(tests, i1_no_database_is_an_error);
	tcase_add_test(tests, i1_a_missing_file_is_an_error);
	tcase_add_test(tests, i1_errors_end_at_a_hundred);
	return unit_run(suite);
}
