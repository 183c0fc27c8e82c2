#include "common/pg_conninfo.h"

#include <string.h>

#include "tests/unit/unit.h"

static struct pg_conninfo *info;
static struct error error;

static void
parse(const char *text)
{
	info = pg_conninfo_new(text, "me", &error);
	ck_assert_msg(info != NULL, "%s", error.text);
}

static void
begin(void)
{
	info = NULL;
	unsetenv("PGHOST");
	unsetenv("PGPORT");
}

static void
end(void)
{
	pg_conninfo_free(info);
}

static const char *
value(const char *keyword)
{
	for (size_t i = 0; i < info->count; i++)
		if (strcmp(info->keywords[i], keyword) == 0)
			return info->values[i];
	return "";
}

START_TEST(f1_cut_connections_are_noticed_by_default)
{
	parse("host=h");
	ck_assert_str_eq(value("tcp_user_timeout"), "10000");
	ck_assert_str_eq(value("keepalives_idle"), "10");
	ck_assert_str_eq(value("gssencmode"), "disable");
	ck_assert_str_eq(value("client_encoding"), "UTF8");
	ck_assert_str_eq(value("application_name"), "me");
}
END_TEST

START_TEST(what_is_given_stands)
{
	parse("host=h tcp_user_timeout=5 keepalives_idle=7 gssencmode=prefer "
	      "application_name=x connect_timeout=4");
	ck_assert_str_eq(value("tcp_user_timeout"), "5");
	ck_assert_str_eq(value("keepalives_idle"), "7");
	ck_assert_str_eq(value("application_name"), "x");
	ck_assert_int_eq(info->connect_timeout_ms, 4000);
}
END_TEST

START_TEST(i3_several_hosts_ask_for_the_one_that_takes_writes)
{
	parse("host=a,b port=1,2 dbname=d");
	ck_assert_uint_eq(info->host_count, 2);
	ck_assert_str_eq(info->hosts[1].host, "b");
	ck_assert_str_eq(info->hosts[1].port, "2");
	ck_assert_str_eq(value("target_session_attrs"), "read-write");
	ck_assert(!info->any_session);
}
END_TEST

START_TEST(i3_target_session_attrs_is_respected)
{
	parse("postgresql://u@a:1,b:2/d?target_session_attrs=any");
	ck_assert_uint_eq(info->host_count, 2);
	ck_assert_str_eq(value("target_session_attrs"), "any");
	ck_assert(info->any_session);
}
END_TEST

START_TEST(one_port_is_for_all_hosts)
{
	parse("host=a,b,/c port=7");
	ck_assert_str_eq(info->hosts[0].port, "7");
	ck_assert_str_eq(info->hosts[2].port, "7");
	ck_assert_str_eq(info->hosts[2].host, "/c");
}
END_TEST

START_TEST(hostaddr_stands_beside_host)
{
	parse("host=a,b hostaddr=10.0.0.1,");
	ck_assert_uint_eq(info->host_count, 2);
	ck_assert_str_eq(info->hosts[0].host, "a");
	ck_assert_str_eq(info->hosts[0].hostaddr, "10.0.0.1");
	ck_assert_ptr_null(info->hosts[1].hostaddr);
}
END_TEST

START_TEST(environment_is_read)
{
	setenv("PGHOST", "e1,e2", 1);
	setenv("PGPORT", "99", 1);
	parse("dbname=d");
	ck_assert_uint_eq(info->host_count, 2);
	ck_assert_str_eq(info->hosts[1].host, "e2");
	ck_assert_str_eq(info->hosts[1].port, "99");
}
END_TEST

START_TEST(nothing_given_is_one_server)
{
	parse("");
	ck_assert_uint_eq(info->host_count, 1);
	ck_assert_ptr_null(info->hosts[0].host);
	ck_assert_ptr_null(info->hosts[0].port);
}
END_TEST

START_TEST(values_are_judged_without_a_server)
{
	static const char *const right[] = {"host=h sslmode=verify-full",
	    "postgresql://u:p@h1:1,h2:2/d?target_session_attrs=any",
	    "host=/nowhere port=5433", "", "host=a,b port=,2",
	    "dbname=d passfile=/nowhere sslrootcert=/nowhere"};

	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
		ck_assert_msg(pg_conninfo_check(right[i], &error), "%s: %s",
		    right[i], error.text);
	ck_assert(!pg_conninfo_check("sslmode=on", &error));
	ck_assert_str_eq(error.text, "invalid sslmode value: \"on\"");
}
END_TEST

START_TEST(bad_conninfo_has_a_sentence)
{
	static const char *const words[] = {"hst=1", "host",
	    "host=a,b port=1,2,3", "host=a,b hostaddr=1.1.1.1",
	    "postgresql://h:1/d?x=1", "host='a", "port=65536", "port=1,x"};

	info = pg_conninfo_new(words[_i], "me", &error);
	ck_assert_ptr_null(info);
	ck_assert_str_ne(error.text, "");
	ck_assert_ptr_null(strchr(error.text, '\n'));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pg_conninfo");
	TCase *tests = unit_case(suite, "pg_conninfo");

	tcase_add_checked_fixture(tests, begin, end);
	tcase_add_test(tests, f1_cut_connections_are_noticed_by_default);
	tcase_add_test(tests, what_is_given_stands);
	tcase_add_test(
	    tests, i3_several_hosts_ask_for_the_one_that_takes_writes);
	tcase_add_test(tests, i3_target_session_attrs_is_respected);
	tcase_add_test(tests, one_port_is_for_all_hosts);
	tcase_add_test(tests, hostaddr_stands_beside_host);
	tcase_add_test(tests, environment_is_read);
	tcase_add_test(tests, nothing_given_is_one_server);
	tcase_add_test(tests, values_are_judged_without_a_server);
	tcase_add_loop_test(tests, bad_conninfo_has_a_sentence, 0, 8);
	return unit_run(suite);
}
