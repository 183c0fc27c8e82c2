#include "daemon/worker/batch.h"

#include <assert.h>
#include <stdlib.h>

static void
open_array(struct text *array)
{
	if (array->capacity > BATCH_KEEP)
		text_free(array);
	text_clear(array);
	text_add_char(array, '{');
}

static void
open_column(struct batch_column *column, const char *absent)
{
	open_array(&column->text);
	column->filled = 0;
	column->absent = absent;
}

void
batch_start(struct batch *batch)
{
	batch->count = 0;
	batch->bytes = 0;
	open_array(&batch->lease);
	open_array(&batch->task);
	text_clear(&batch->outcome);
	open_column(&batch->ran, "0");
	open_column(&batch->delay, "0");
	open_column(&batch->result, "NULL");
	open_column(&batch->error, "NULL");
}

bool
batch_is_full(const struct batch *batch)
{
	return batch->count >= BATCH_MAX || batch->bytes >= BATCH_BYTES;
}

static void
comma(struct text *array)
{
	if (array->length > 1)
		text_add_char(array, ',');
}

/* Makes the column `count` items long with the default. */
static void
fill(struct batch_column *column, size_t count)
{
	for (; column->filled < count; column->filled++) {
		comma(&column->text);
		text_add_string(&column->text, column->absent);
	}
}

static void
add_number(struct batch_column *column, size_t at, int64_t number)
{
	if (number == 0)
		return;
	fill(column, at);
	comma(&column->text);
	text_add_int(&column->text, number);
	column->filled++;
}

static void
add_string(
    struct batch_column *column, size_t at, const char *string, size_t size)
{
	if (string == NULL)
		return;
	fill(column, at);
	comma(&column->text);
	text_add_array_item(&column->text, string, size);
	column->filled++;
}

void
batch_add(struct batch *batch, const struct running *running)
{
	assert(batch->count < BATCH_MAX);
	batch->bytes +=
	    running->finish.result_size + running->finish.error_size;
	batch->items[batch->count++] = running;
}

static int
compare(const void *left, const void *right)
{
	const struct task *a = &(*(const struct running *const *)left)->task;
	const struct task *b = &(*(const struct running *const *)right)->task;

	if (a->lease != b->lease)
		return a->lease < b->lease ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

static void
write_item(struct batch *batch, size_t at)
{
	const struct running *running = batch->items[at];
	const struct finish *finish = &running->finish;

	comma(&batch->lease);
	text_add_int(&batch->lease, running->task.lease);
	comma(&batch->task);
	text_add_int(&batch->task, running->task.id);
	text_add_char(&batch->outcome, finish->outcome);
	add_number(&batch->ran, at, finish->ran_ms);
	add_number(&batch->delay, at, finish->delay_ms);
	add_string(&batch->result, at, finish->result, finish->result_size);
	add_string(&batch->error, at, finish->error, finish->error_size);
}

static void
close_column(struct batch_column *column, size_t count)
{
	if (column->filled > 0)
		fill(column, count);
	text_add_char(&column->text, '}');
}

void
batch_end(struct batch *batch)
{
	qsort(batch->items, batch->count, sizeof(batch->items[0]), compare);
	for (size_t i = 0; i < batch->count; i++)
		write_item(batch, i);
	text_add_char(&batch->lease, '}');
	text_add_char(&batch->task, '}');
	close_column(&batch->ran, batch->count);
	close_column(&batch->delay, batch->count);
	close_column(&batch->result, batch->count);
	close_column(&batch->error, batch->count);
}

void
batch_free(struct batch *batch)
{
	text_free(&batch->lease);
	text_free(&batch->task);
	text_free(&batch->outcome);
	text_free(&batch->ran.text);
	text_free(&batch->delay.text);
	text_free(&batch->result.text);
	text_free(&batch->error.text);
}

bool
bisect_refused(struct bisect *bisect, size_t count)
{
	bisect->limit = count > 1 ? count / 2 : 1;
	return count == 1;
}

void
bisect_taken(struct bisect *bisect, size_t count)
{
	if (bisect->limit == 0 || count < bisect->limit) {
		bisect->limit = 0; /* the queue was emptied */
		return;
	}
	bisect->limit *= 2;
	if (bisect->limit >= BATCH_MAX)
		bisect->limit = 0;
}

bool
bisect_is_searching(const struct bisect *bisect)
{
	return bisect->limit != 0;
}
