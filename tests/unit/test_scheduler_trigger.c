/* What comes in on a trigger's channel and waits to be enqueued. */
#include "daemon/scheduler/trigger.h"

#include <string.h>

#include "tests/unit/unit.h"

static struct trigger *trigger;
static struct mono now = {1000000};
static struct trigger_config config = {.name = (char[]){"t"},
    .channel = (char[]){"c"},
    .kind = (char[]){"k"},
    .queue = (char[]){"q"},
    .rate = 10,
    .burst = 5};

static void
prepare(void)
{
	trigger = trigger_new(&config);
}

static void
finish(void)
{
	trigger_free(trigger);
}

static enum trigger_taken
take(const char *message)
{
	return trigger_take(trigger, message, strlen(message), 1000, now);
}

static void
take_many(int count)
{
	config.rate = 1e6;
	config.burst = 1000000;
	ck_assert(trigger_adjust(trigger, &config));
	for (int i = 0; i < count; i++) {
		now = mono_add_ms(now, 1);
		(void)take("1");
	}
}

/* The array that is to be enqueued, "" for none. */
static void
expect_batch(const char *expected)
{
	struct text array = TEXT_EMPTY;

	trigger_batch(trigger, &array);
	ck_assert_str_eq(text_string(&array), expected);
	text_free(&array);
}

START_TEST(D2_json_is_the_payload_and_other_text_a_message)
{
	ck_assert_int_eq(take("{\"a\": 0.10}"), TRIGGER_TAKEN);
	ck_assert_int_eq(take("two words"), TRIGGER_TAKEN);
	ck_assert_int_eq(take(""), TRIGGER_TAKEN);
	ck_assert_int_eq(take("\"\\u0000\""), TRIGGER_TAKEN);
	ck_assert_int_eq(
	    trigger_take(trigger, "a\0\xff", 3, 1000, now), TRIGGER_TAKEN);
	expect_batch(
	    "{\"{\\\"a\\\": 0.10}\","
	    "\"{\\\"message\\\":\\\"two words\\\"}\","
	    "\"{\\\"message\\\":\\\"\\\"}\","
	    "\"{\\\"message\\\":\\\"\\\\\\\"\\\\\\\\u0000\\\\\\\""
	    "\\\"}\","
	    "\"{\\\"message\\\":\\\"a\xef\xbf\xbd\xef\xbf\xbd\\\"}\"}");
}
END_TEST

START_TEST(D2_a_flood_is_held_to_its_rate)
{
	struct text sentence = TEXT_EMPTY;

	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(take("1"), TRIGGER_TAKEN);
	for (int i = 0; i < 7; i++)
		ck_assert_int_eq(take("1"), TRIGGER_OVER);
	now = mono_add_ms(now, 100);
	ck_assert_int_eq(take("1"), TRIGGER_TAKEN);
	ck_assert_int_eq(take("1"), TRIGGER_OVER);
	now = mono_add_ms(now, 100 * 1000); /* never more than burst */
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(take("1"), TRIGGER_TAKEN);
	ck_assert_int_eq(take("1"), TRIGGER_OVER);
	ck_assert(trigger_complaint(trigger, now, &sentence));
	ck_assert_str_eq(text_string(&sentence), "9 over its rate of 10/s");
	text_clear(&sentence);
	(void)take("1");
	now = mono_add_ms(now, TRIGGER_COMPLAIN_MS - 1000);
	ck_assert(!trigger_complaint(trigger, now, &sentence));
	now = mono_add_ms(now, 1000);
	ck_assert(trigger_complaint(trigger, now, &sentence));
	ck_assert_str_eq(text_string(&sentence), "1 over its rate of 10/s");
	now = mono_add_ms(now, 1000 * 1000);
	ck_assert(!trigger_complaint(trigger, now, &sentence));
	text_free(&sentence);
}
END_TEST

START_TEST(D2_a_message_over_max_payload_is_refused)
{
	char large[1002];
	struct text sentence = TEXT_EMPTY;

	memset(large, '1', sizeof(large) - 1);
	large[1001] = '\0';
	ck_assert_int_eq(take(large), TRIGGER_LARGE);
	ck_assert_int_eq(take(large + 1), TRIGGER_TAKEN);
	ck_assert(trigger_complaint(trigger, now, &sentence));
	ck_assert_str_eq(text_string(&sentence), "1 larger than max_payload");
	text_free(&sentence);
}
END_TEST

START_TEST(D2_memory_is_bounded)
{
	take_many(TRIGGER_LINE + 5);
	ck_assert_uint_eq(trigger->count, TRIGGER_LINE);
	ck_assert_uint_eq(trigger->full, 5);
	trigger_drop(trigger);
	ck_assert_uint_eq(trigger->count, 0);
	ck_assert_uint_eq(trigger->bytes, 0);
}
END_TEST

START_TEST(D2_messages_go_in_batches_one_at_a_time)
{
	struct text array = TEXT_EMPTY;

	take_many(TRIGGER_BATCH + 7);
	ck_assert_uint_eq(trigger_batch(trigger, &array), TRIGGER_BATCH);
	text_clear(&array);
	ck_assert_uint_eq(trigger_batch(trigger, &array), 0);
	trigger_again(trigger);
	ck_assert_uint_eq(trigger_batch(trigger, &array), TRIGGER_BATCH);
	trigger_done(trigger);
	text_clear(&array);
	ck_assert_uint_eq(trigger_batch(trigger, &array), 7);
	trigger_done(trigger);
	ck_assert_uint_eq(trigger->count, 0);
	text_clear(&array);
	ck_assert_uint_eq(trigger_batch(trigger, &array), 0);
	text_free(&array);
}
END_TEST

START_TEST(D2_one_that_is_refused_takes_no_other_with_it)
{
	(void)take("1");
	(void)take("2");
	(void)take("3");
	expect_batch("{\"1\",\"2\",\"3\"}");
	ck_assert(!trigger_refused(trigger));
	(void)take("4");
	(void)take("5");
	expect_batch("{\"1\"}");
	trigger_done(trigger);
	expect_batch("{\"2\"}");
	ck_assert(trigger_refused(trigger));
	expect_batch("{\"3\"}");
	trigger_done(trigger);
	expect_batch("{\"4\",\"5\"}"); /* together again */
	trigger_done(trigger);
	ck_assert_uint_eq(trigger->refused, 1);
	ck_assert_uint_eq(trigger->count, 0);
}
END_TEST

START_TEST(D2_only_what_it_takes_may_be_adjusted)
{
	struct trigger_config other = config;

	other.rate = 1;
	other.burst = 1;
	ck_assert(trigger_adjust(trigger, &other));
	ck_assert_int_eq(trigger->burst, 1);
	other.kind = (char[]){"another"};
	ck_assert(!trigger_adjust(trigger, &other));
	other = config;
	other.pattern = other.channel;
	other.channel = NULL;
	ck_assert(!trigger_adjust(trigger, &other));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("trigger");
	TCase *tests = unit_case(suite, "trigger");

	tcase_add_checked_fixture(tests, prepare, finish);
	tcase_add_test(tests, D2_json_is_the_payload_and_other_text_a_message);
	tcase_add_test(tests, D2_a_flood_is_held_to_its_rate);
	tcase_add_test(tests, D2_a_message_over_max_payload_is_refused);
	tcase_add_test(tests, D2_memory_is_bounded);
	tcase_add_test(tests, D2_messages_go_in_batches_one_at_a_time);
	tcase_add_test(tests, D2_one_that_is_refused_takes_no_other_with_it);
	tcase_add_test(tests, D2_only_what_it_takes_may_be_adjusted);
	return unit_run(suite);
}
