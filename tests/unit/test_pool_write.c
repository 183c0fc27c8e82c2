#include "daemon/handlers/pool_write.h"

#include <event2/buffer.h>
#include <string.h>

#include "tests/unit/unit.h"

static struct evbuffer *buffer;

static void
prepare(void)
{
	buffer = evbuffer_new();
}

static void
release(void)
{
	evbuffer_free(buffer);
}

static const char *
written(void)
{
	evbuffer_add(buffer, "", 1);
	return (const char *)evbuffer_pullup(buffer, -1);
}

static struct task
usual(void)
{
	return (struct task){.id = 42,
	    .lease = 9,
	    .attempt = 2,
	    .kind = "resize",
	    .payload = "{\"n\":0.10}",
	    .payload_size = 10,
	    .started = mono_now()};
}

START_TEST(run_has_all_that_a_handler_needs)
{
	struct task task = usual();

	ck_assert(pool_write_run(buffer, &task, 1000));
	ck_assert_str_eq(written(),
	    "{\"run\":{\"id\":\"42\",\"kind\":\"resize\",\"attempt\":2,"
	    "\"token\":\"9-42\",\"payload\":{\"n\":0.10},\"inputs\":{}}}\n");
}
END_TEST

START_TEST(run_names_the_flow_where_there_is_one)
{
	struct task task = usual();

	task.flow = INT64_MAX;
	ck_assert(pool_write_run(buffer, &task, 1000));
	ck_assert_ptr_nonnull(
	    strstr(written(), "{\"id\":\"42\",\"flow\":\"9223372036854775807\","
			      "\"kind\":\"resize\","));
}
END_TEST

START_TEST(run_has_a_deadline_where_there_is_a_limit)
{
	struct task task = usual();
	const char *found;
	double deadline;

	task.timeout_ms = 30000;
	task.inputs = "{\"a\":{}}";
	task.inputs_size = strlen(task.inputs);
	ck_assert(pool_write_run(buffer, &task, 1000));
	found = strstr(written(), "\"deadline\":");
	ck_assert_ptr_nonnull(found);
	deadline = strtod(found + 11, NULL);
	ck_assert_double_eq_tol(deadline, (double)wall_now_us() / 1e6 + 30, 2);
	ck_assert_ptr_nonnull(strstr(found, ",\"timeout_ms\":30000,"));
	ck_assert_ptr_nonnull(strstr(found, ",\"inputs\":{\"a\":{}}}}\n"));
}
END_TEST

START_TEST(large_data_is_not_copied)
{
	struct task task = usual();
	static char large[POOL_COPY_BYTES + 1];
	struct evbuffer_iovec parts[8];
	int count, found = 0;

	memset(large, '1', sizeof(large));
	task.payload = large;
	task.payload_size = sizeof(large);
	ck_assert(pool_write_run(buffer, &task, 10000));
	count = evbuffer_peek(buffer, -1, NULL, parts, 8);
	for (int i = 0; i < count; i++)
		found += parts[i].iov_base == large;
	ck_assert_int_eq(found, 1);
}
END_TEST

START_TEST(what_is_too_long_is_refused_whole)
{
	struct task task = usual();
	size_t size;

	ck_assert(pool_write_run(buffer, &task, 1000));
	size = evbuffer_get_length(buffer);
	ck_assert(!pool_write_run(buffer, &task, size - 1));
	ck_assert_uint_eq(evbuffer_get_length(buffer), size);
	ck_assert(pool_write_run(buffer, &task, size));
}
END_TEST

START_TEST(cancel_and_drain)
{
	struct task task = usual();

	pool_write_cancel(buffer, &task, CANCEL_TIMEOUT);
	pool_write_cancel(buffer, &task, CANCEL_FENCED);
	pool_write_drain(buffer);
	ck_assert_str_eq(written(),
	    "{\"cancel\":{\"id\":\"42\",\"reason\":\"timeout\"}}\n"
	    "{\"cancel\":{\"id\":\"42\",\"reason\":\"fenced\"}}\n"
	    "{\"drain\":{}}\n");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pool_write");
	TCase *tests = unit_case(suite, "messages");

	tcase_add_checked_fixture(tests, prepare, release);
	tcase_add_test(tests, run_has_all_that_a_handler_needs);
	tcase_add_test(tests, run_names_the_flow_where_there_is_one);
	tcase_add_test(tests, run_has_a_deadline_where_there_is_a_limit);
	tcase_add_test(tests, large_data_is_not_copied);
	tcase_add_test(tests, what_is_too_long_is_refused_whole);
	tcase_add_test(tests, cancel_and_drain);
	return unit_run(suite);
}
