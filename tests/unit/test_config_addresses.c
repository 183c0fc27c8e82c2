/* Values that lead elsewhere: servers, and the folder of credentials. */
#include <string.h>
#include <unistd.h>

#include "common/config_load.h"
#include "tests/unit/config_fixture.h"
#include "tests/unit/unit.h"

START_TEST(i1_the_credentials_directory_is_expanded)
{
	setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x", 1);
	fixture_load(
	    "database: passfile=${CREDENTIALS_DIRECTORY}/pass dbname=x\n"
	    "handlers: {a: {exec: [/bin/sh, -c, 'echo ${HOME}']}}\n");
	ck_assert_str_eq(fixture_config->database,
	    "passfile=/run/credentials/x/pass dbname=x");
	ck_assert_str_eq(
	    config_handler(fixture_config, "a")->argv[2], "echo ${HOME}");
}
END_TEST

static void
check_unit(const char *name, const char *wanted)
{
	struct text path = TEXT_EMPTY, unit = TEXT_EMPTY;

	text_addf(&path, "%s/conf.d/../%s", fixture_folder, name);
	ck_assert_int_eq(
	    config_unit_of(text_string(&path), fixture_folder, &unit),
	    wanted != NULL);
	ck_assert_str_eq(text_string(&unit), wanted == NULL ? "" : wanted);
	text_free(&path);
	text_free(&unit);
}

START_TEST(i1_the_unit_of_a_configuration)
{
	struct text unit = TEXT_EMPTY;

	check_unit("musterd.yaml", "musterd.service");
	check_unit("two.yaml", "musterd@two.service");
	check_unit("a.b.yaml", "musterd@a.b.service");
	check_unit("musterd", NULL);
	check_unit(".yaml", NULL);
	check_unit("conf.d/10.yaml", NULL);
	ck_assert(!config_unit_of("musterd.yaml", fixture_folder, &unit));
	ck_assert(!config_unit_of(fixture_file, "/nowhere", &unit));
	ck_assert_int_eq(chdir(fixture_folder), 0);
	ck_assert(config_unit_of("musterd.yaml", fixture_folder, &unit));
	text_free(&unit);
}
END_TEST

struct refusal {
	const char *text, *wanted;
};

#define BAD_REDIS "redis: not an address of Redis: "
#define WRITE_REDIS "; write unix:///path or redis://host:port/database\n"

static const struct refusal wrong_redis[] = {
    {"localhost\n", AT("2:8") BAD_REDIS "it begins with neither redis:// nor "
					"unix://" WRITE_REDIS},
    {"redis://host:port/db\n",
	AT("2:8") BAD_REDIS "the port is not from 1 to 65535" WRITE_REDIS},
    {"redis://host/1x\n",
	AT("2:8") BAD_REDIS "the database is no number" WRITE_REDIS},
    {"redis://:geheim@/1\n",
	AT("2:8") BAD_REDIS "the host is missing" WRITE_REDIS},
    {"rediss://host\n",
	AT("2:8") BAD_REDIS "rediss:// is not in this build" WRITE_REDIS},
    {"unix:///run/redis.sock?x=1\n",
	AT("2:8") BAD_REDIS "only db= may follow the ?" WRITE_REDIS},
};

START_TEST(i1_wrong_redis_is_an_error)
{
	struct text text = TEXT_EMPTY;

	text_addf(&text, "database: dbname=x\nredis: %s", wrong_redis[_i].text);
	fixture_refuse(text_string(&text), wrong_redis[_i].wanted);
	text_free(&text);
}
END_TEST

#define BAD_DATABASE AT("1:11") "database: not a connection string"

/* What only pg_conninfo or libpq's connecting would have found. */
START_TEST(i1_wrong_database_is_an_error)
{
	static const struct refusal wrong[] = {
	    {"dbname=x host=a,b port=1,2,3",
		BAD_DATABASE ": host, hostaddr and port name different numbers "
			     "of servers: 2, 0 and 3\n"},
	    {"dbname=x port=54322x",
		BAD_DATABASE ": port '54322x' is not from 1 to 65535\n"},
	    {"dbname=x port=0",
		BAD_DATABASE ": port '0' is not from 1 to 65535\n"},
	    {"dbname=x sslmode=requre passfile=/x",
		BAD_DATABASE ": invalid sslmode value: \"requre\"\n"},
	    {"postgresql://h/x?target_session_attrs=write",
		BAD_DATABASE ": invalid target_session_attrs value: "
			     "\"write\"\n"},
	    {"dbname=x password=geheim sslmode=geheim", BAD_DATABASE "\n"},
	};
	struct text text = TEXT_EMPTY;

	text_addf(&text, "database: %s\n", wrong[_i].text);
	fixture_refuse(text_string(&text), wrong[_i].wanted);
	text_free(&text);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("config_addresses");
	TCase *tests = unit_case(suite, "addresses");

	tcase_add_checked_fixture(tests, fixture_setup, fixture_teardown);
	tcase_add_test(tests, i1_the_credentials_directory_is_expanded);
	tcase_add_test(tests, i1_the_unit_of_a_configuration);
	tcase_add_loop_test(tests, i1_wrong_redis_is_an_error, 0,
	    sizeof(wrong_redis) / sizeof(wrong_redis[0]));
	tcase_add_loop_test(tests, i1_wrong_database_is_an_error, 0, 6);
	return unit_run(suite);
}
