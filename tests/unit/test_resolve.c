#include "common/resolve.h"

#include <event2/event.h>
#include <string.h>

#include "tests/unit/unit.h"

static struct event_base *base;
static size_t found;
static char first[64], said[128];

static void
on_done(const char *const *addresses, size_t count, const char *reason,
    void *argument)
{
	*(struct resolve **)argument = NULL;
	found = count;
	if (count > 0)
		strncpy(first, addresses[0], sizeof first - 1);
	if (reason != NULL)
		strncpy(said, reason, sizeof said - 1);
}

START_TEST(only_names_are_looked_up)
{
	ck_assert(resolve_needed("localhost"));
	ck_assert(resolve_needed("db.example.org"));
	ck_assert(resolve_needed("1.2.3"));
	ck_assert(!resolve_needed("127.0.0.1"));
	ck_assert(!resolve_needed("::1"));
	ck_assert(!resolve_needed("/run/postgresql"));
	ck_assert(!resolve_needed("@abstract"));
	ck_assert(!resolve_needed(""));
	ck_assert(!resolve_needed(NULL));
}
END_TEST

START_TEST(e1_name_is_looked_up)
{
	struct resolve *resolve = NULL;

	base = event_base_new();
	resolve = resolve_start(base, "localhost", on_done, &resolve);
	ck_assert_ptr_nonnull(resolve);
	event_base_dispatch(base);
	ck_assert_ptr_null(resolve);
	ck_assert_uint_ge(found, 1);
	ck_assert(strcmp(first, "127.0.0.1") == 0 || strcmp(first, "::1") == 0);
	event_base_free(base);
}
END_TEST

START_TEST(e1_unknown_name_has_a_reason)
{
	struct resolve *resolve = NULL;

	base = event_base_new();
	resolve = resolve_start(base, "no such host", on_done, &resolve);
	event_base_dispatch(base);
	ck_assert_uint_eq(found, 0);
	ck_assert_str_ne(said, "");
	event_base_free(base);
}
END_TEST

START_TEST(e1_lookup_may_be_forgotten)
{
	struct resolve *resolve = NULL;

	base = event_base_new();
	for (int i = 0; i < 5; i++) {
		resolve = resolve_start(base, "localhost", on_done, &resolve);
		ck_assert_ptr_null(resolve_cancel(resolve));
	}
	event_base_dispatch(base);
	ck_assert_uint_eq(found, 0);
	event_base_free(base);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("resolve");
	TCase *tests = unit_case(suite, "resolve");

	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, only_names_are_looked_up);
	tcase_add_test(tests, e1_name_is_looked_up);
	tcase_add_test(tests, e1_unknown_name_has_a_reason);
	tcase_add_test(tests, e1_lookup_may_be_forgotten);
	return unit_run(suite);
}
