#include "daemon/handlers/http_host.h"

#include <event2/event.h>
#include <string.h>

#include "common/resolve.h"
#include "tests/unit/unit.h"

static struct event_base *base;
static int found, started;
static char reason[128];

/* In place of the resolver: a look-up that the test ends, or never. */
static resolve_cb *answer;
static void *answer_argument;
static bool refuses;

bool
resolve_needed(const char *host)
{
	return strcmp(host, "1.2.3.4") != 0;
}

struct resolve *
resolve_start(struct event_base *its_base, const char *host,
    resolve_cb *on_done, void *argument)
{
	ck_assert_ptr_eq(its_base, base);
	ck_assert_str_eq(host, "name.example");
	started++;
	answer = on_done;
	answer_argument = argument;
	return refuses ? NULL : (struct resolve *)&answer;
}

struct resolve *
resolve_cancel(struct resolve *resolve)
{
	if (resolve != NULL)
		answer = NULL;
	return NULL;
}

static void
on_found(const char *error, void *argument)
{
	ck_assert_ptr_eq(argument, &found);
	found++;
	strncpy(reason, error == NULL ? "" : error, sizeof(reason) - 1);
}

static struct http_host *
host_of(const char *url, int64_t limit_ms)
{
	return http_host_new(base, url, limit_ms, on_found, &found);
}

static void
setup(void)
{
	base = event_base_new();
}

static void
teardown(void)
{
	event_base_free(base);
}

START_TEST(addresses_are_found_once_for_all)
{
	const char *const addresses[] = {"8.8.8.8", "2001:4860::8"};
	struct http_host *host = host_of("https://name.example/in?a=b", 1000);

	ck_assert_str_eq(http_host_name(host), "name.example");
	ck_assert(!http_host_is_known(host));
	http_host_find(host);
	http_host_find(host);
	ck_assert_int_eq(started, 1);
	answer(addresses, 2, NULL, answer_argument);
	ck_assert_int_eq(found, 1);
	ck_assert_str_eq(reason, "");
	ck_assert(http_host_is_known(host));
	ck_assert_str_eq(
	    http_host_entry(host), "name.example:443:8.8.8.8,[2001:4860::8]");
	http_host_doubt(host);
	ck_assert(!http_host_is_known(host));
	http_host_find(host);
	ck_assert_int_eq(started, 2);
	http_host_free(host);
	ck_assert_ptr_null(answer);
}
END_TEST

START_TEST(numbers_need_none)
{
	struct http_host *v4 = host_of("http://1.2.3.4:8080/", 1000);
	struct http_host *v6 = host_of("http://[::1]:8080/", 1000);

	ck_assert(http_host_is_known(v4));
	ck_assert_ptr_null(http_host_entry(v4));
	ck_assert(http_host_is_known(v6));
	ck_assert_ptr_null(http_host_entry(v6));
	http_host_free(v4);
	http_host_free(v6);
}
END_TEST

START_TEST(failure_says_why)
{
	struct http_host *host = host_of("http://name.example:81", 1000);

	http_host_find(host);
	answer(NULL, 0, "no such thing", answer_argument);
	ck_assert_str_eq(reason, "no such thing");
	ck_assert(!http_host_is_known(host));
	http_host_free(host);
}
END_TEST

START_TEST(a_resolver_that_hangs_is_given_up)
{
	struct http_host *host = host_of("http://name.example", 20);

	http_host_find(host);
	event_base_loop(base, EVLOOP_ONCE);
	ck_assert_int_eq(found, 1);
	ck_assert_ptr_null(answer);
	ck_assert_str_eq(reason, "the look-up of its name takes too long");
	http_host_free(host);
}
END_TEST

START_TEST(a_resolver_that_refuses)
{
	struct http_host *host = host_of("http://name.example", 100000);

	refuses = true;
	http_host_find(host);
	ck_assert_int_eq(found, 0); /* never from within the call */
	event_base_loop(base, EVLOOP_ONCE);
	ck_assert_int_eq(found, 1);
	ck_assert_str_eq(reason, "too many look-ups of names hang");
	http_host_free(host);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http_host");
	TCase *tests = unit_case(suite, "look-ups");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, addresses_are_found_once_for_all);
	tcase_add_test(tests, numbers_need_none);
	tcase_add_test(tests, failure_says_why);
	tcase_add_test(tests, a_resolver_that_hangs_is_given_up);
	tcase_add_test(tests, a_resolver_that_refuses);
	return unit_run(suite);
}
