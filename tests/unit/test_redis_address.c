#include "common/redis.h"

#include "tests/unit/unit.h"

static struct redis_address address;
static struct error error;

static void
parse(const char *url)
{
	ck_assert_msg(
	    redis_address_parse(url, &address, &error) == 0, "%s", error.text);
}

static void
end(void)
{
	redis_address_free(&address);
}

START_TEST(socket_address)
{
	parse("unix:///run/redis/redis.sock?db=3");
	ck_assert_str_eq(address.path, "/run/redis/redis.sock");
	ck_assert_int_eq(address.database, 3);
	ck_assert_ptr_null(address.host);
}
END_TEST

START_TEST(network_address)
{
	parse("redis://db.example.org");
	ck_assert_str_eq(address.host, "db.example.org");
	ck_assert_int_eq(address.port, 6379);
	ck_assert_int_eq(address.database, 0);
	ck_assert_ptr_null(address.password);
}
END_TEST

START_TEST(all_parts)
{
	parse("redis://us%40er:p%3Aw%2f:x@[::1]:77/12");
	ck_assert_str_eq(address.user, "us@er");
	ck_assert_str_eq(address.password, "p:w/:x");
	ck_assert_str_eq(address.host, "::1");
	ck_assert_int_eq(address.port, 77);
	ck_assert_int_eq(address.database, 12);
}
END_TEST

START_TEST(password_alone)
{
	parse("redis://:secret@h:1/");
	ck_assert_ptr_null(address.user);
	ck_assert_str_eq(address.password, "secret");
	redis_address_free(&address);
	parse("redis://secret@h");
	ck_assert_ptr_null(address.user);
	ck_assert_str_eq(address.password, "secret");
}
END_TEST

#define TEN "/234567890"
#define LONG TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

START_TEST(nonsense_is_refused)
{
	static const char *const words[] = {"", "redis", "redis://",
	    "redis:///", "redis://:1", "redis://h:", "redis://h:0",
	    "redis://h:65536", "redis://h:1x", "redis://h/1x",
	    "redis://h/99999999999", "redis://[::1", "redis://[::1]x",
	    "redis://%2@h", "redis://%@h", "redis://%00@h", "redis://%g0@h",
	    "unix://", "unix:///", "unix://x", "unix:///a?db=", "unix:///a?x=1",
	    "rediss://h", "http://h", "unix:///" LONG "/s"};

	ck_assert_int_lt(redis_address_parse(words[_i], &address, &error), 0);
	ck_assert_str_ne(error.text, "");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("redis_address");
	TCase *tests = unit_case(suite, "redis_address");

	tcase_add_checked_fixture(tests, NULL, end);
	tcase_add_test(tests, socket_address);
	tcase_add_test(tests, network_address);
	tcase_add_test(tests, all_parts);
	tcase_add_test(tests, password_alone);
	tcase_add_loop_test(tests, nonsense_is_refused, 0, 25);
	return unit_run(suite);
}
