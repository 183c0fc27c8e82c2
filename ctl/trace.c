#include "ctl/trace.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/input.h"

static void *
array_of(size_t count, size_t size)
{
	void *array = calloc(count > 0 ? count : 1, size);

	if (array == NULL)
		abort();
	return array;
}

struct trace *
trace_free(struct trace *trace)
{
	if (trace == NULL)
		return NULL;
	for (size_t i = 0; i < trace->count; i++) {
		free(trace->tasks[i].id);
		free(trace->tasks[i].needs);
		free(trace->tasks[i].feeds);
	}
	for (size_t i = 0; i < trace->kind_count; i++)
		free(trace->kinds[i]);
	free(trace->tasks);
	free(trace->name);
	free(trace);
	return NULL;
}

/* Numbers by id. */

struct entry {
	const char *id;
	size_t number;
};

static int
compare_entries(const void *a, const void *b)
{
	return strcmp(
	    ((const struct entry *)a)->id, ((const struct entry *)b)->id);
}

static struct entry *
list_ids(const struct trace *trace, struct error *error)
{
	struct entry *ids = array_of(trace->count, sizeof(*ids));

	for (size_t i = 0; i < trace->count; i++)
		ids[i] = (struct entry){trace->tasks[i].id, i};
	qsort(ids, trace->count, sizeof(*ids), compare_entries);
	for (size_t i = 1; i < trace->count; i++)
		if (strcmp(ids[i - 1].id, ids[i].id) == 0) {
			error_set(error, "task '%.100s' stands there twice",
			    ids[i].id);
			free(ids);
			return NULL;
		}
	return ids;
}

static struct trace_task *
find(const struct trace *trace, const struct entry *ids, const char *id)
{
	struct entry wanted = {id, 0};
	const struct entry *found =
	    bsearch(&wanted, ids, trace->count, sizeof(*ids), compare_entries);

	return found != NULL ? &trace->tasks[found->number] : NULL;
}

/* The two halves of the document. */

/* What it ran, if that is a program's name and no script. */
static const char *
program_of(const json_t *item)
{
	const char *program = json_string_value(
	    json_object_get(json_object_get(item, "command"), "program"));

	if (program == NULL || *program == '\0' ||
	    program[strcspn(program, " \t\n")] != '\0')
		return NULL;
	return program;
}

/* Of a task's name: all but a number at its end, "mProject" of
 * "mProject_ID0000001". */
static size_t
kind_length(const char *name)
{
	size_t length = strlen(name);

	while (length > 0 && isdigit((unsigned char)name[length - 1]))
		length--;
	if (length > 2 && memcmp(name + length - 2, "ID", 2) == 0)
		length -= 2;
	while (length > 0 && name[length - 1] == '_')
		length--;
	return length;
}

static size_t
find_kind(struct trace *trace, const char *name, size_t length)
{
	size_t i;

	for (i = 0; i < trace->kind_count; i++)
		if (strncmp(trace->kinds[i], name, length) == 0 &&
		    trace->kinds[i][length] == '\0')
			return i;
	if (i == TRACE_KINDS)
		return i - 1;
	trace->kinds[i] = strndup(name, length);
	if (trace->kinds[i] == NULL)
		abort();
	trace->kind_count++;
	return i;
}

static bool
read_tasks(struct trace *trace, const json_t *tasks, struct error *error)
{
	trace->count = json_array_size(tasks);
	trace->tasks = array_of(trace->count, sizeof(*trace->tasks));
	for (size_t i = 0; i < trace->count; i++) {
		const json_t *item = json_array_get(tasks, i);
		const char *id = json_string_value(json_object_get(item, "id"));

		trace->tasks[i].seconds = -1;
		trace->tasks[i].id = strdup(id != NULL ? id : "");
		if (trace->tasks[i].id == NULL)
			abort();
		if (id == NULL) {
			error_set(error, "task number %zu has no id", i + 1);
			return false;
		}
	}
	return true;
}

/* What item `i` of the specification was a run of. */
static size_t
kind_of(struct trace *trace, size_t i, const json_t *item, const char *program)
{
	const char *name = json_string_value(json_object_get(item, "name"));

	if (program != NULL)
		return find_kind(trace, program, strlen(program));
	if (name == NULL)
		name = trace->tasks[i].id;
	return find_kind(trace, name, kind_length(name));
}

/* Lengths and kinds. */
static bool
read_runs(struct trace *trace, const struct entry *ids, const json_t *tasks,
    const json_t *ran, double speed, struct error *error)
{
	const char **programs = array_of(trace->count, sizeof(*programs));
	size_t i;

	for (i = 0; i < json_array_size(ran); i++) {
		const json_t *item = json_array_get(ran, i);
		const char *id = json_string_value(json_object_get(item, "id"));
		const json_t *length =
		    json_object_get(item, "runtimeInSeconds");
		struct trace_task *task =
		    id != NULL ? find(trace, ids, id) : NULL;

		if (task == NULL || !json_is_number(length) ||
		    json_number_value(length) < 0)
			continue;
		task->seconds = json_number_value(length) / speed;
		programs[task - trace->tasks] = program_of(item);
	}
	for (i = 0; i < trace->count && trace->tasks[i].seconds >= 0; i++)
		trace->tasks[i].kind =
		    kind_of(trace, i, json_array_get(tasks, i), programs[i]);
	free(programs);
	if (i < trace->count)
		error_set(error,
		    "task '%.100s' has no runtimeInSeconds in "
		    "workflow.execution.tasks",
		    trace->tasks[i].id);
	return i == trace->count;
}

static int
compare_numbers(const void *a, const void *b)
{
	size_t left = *(const size_t *)a, right = *(const size_t *)b;

	return (left > right) - (left < right);
}

static bool
read_needs(struct trace *trace, const struct entry *ids,
    struct trace_task *task, const json_t *parents, struct error *error)
{
	size_t count = json_array_size(parents), kept = 0;

	task->needs = array_of(count, sizeof(*task->needs));
	for (size_t i = 0; i < count; i++) {
		const char *id = json_string_value(json_array_get(parents, i));
		const struct trace_task *need =
		    id != NULL ? find(trace, ids, id) : NULL;

		if (need == NULL) {
			error_set(error,
			    "task '%.100s' has the parent '%.100s', which is "
			    "not there",
			    task->id, id != NULL ? id : "");
			return false;
		}
		task->needs[i] = (size_t)(need - trace->tasks);
	}
	qsort(task->needs, count, sizeof(*task->needs), compare_numbers);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || task->needs[kept - 1] != task->needs[i])
			task->needs[kept++] = task->needs[i];
	task->need_count = kept;
	trace->edges += kept;
	return true;
}

static void
turn_edges_round(struct trace *trace)
{
	for (size_t i = 0; i < trace->count; i++)
		for (size_t n = 0; n < trace->tasks[i].need_count; n++)
			trace->tasks[trace->tasks[i].needs[n]].feed_count++;
	for (size_t i = 0; i < trace->count; i++) {
		struct trace_task *task = &trace->tasks[i];

		task->feeds = array_of(task->feed_count, sizeof(*task->feeds));
		task->feed_count = 0;
	}
	for (size_t i = 0; i < trace->count; i++)
		for (size_t n = 0; n < trace->tasks[i].need_count; n++) {
			struct trace_task *need =
			    &trace->tasks[trace->tasks[i].needs[n]];

			need->feeds[need->feed_count++] = i;
		}
}

/* From the last tasks to the first (Kahn 1962); false: there is a cycle. */
static bool
measure(struct trace *trace)
{
	size_t *waits = array_of(trace->count, sizeof(*waits));
	size_t *order = array_of(trace->count, sizeof(*order));
	size_t done = 0, known = 0;

	for (size_t i = 0; i < trace->count; i++) {
		waits[i] = trace->tasks[i].feed_count;
		trace->work += trace->tasks[i].seconds;
		if (waits[i] == 0)
			order[known++] = i;
	}
	for (; done < known; done++) {
		struct trace_task *task = &trace->tasks[order[done]];

		task->rest += task->seconds; /* it had that of those it feeds */
		if (task->rest > trace->critical_path)
			trace->critical_path = task->rest;
		for (size_t n = 0; n < task->need_count; n++) {
			size_t need = task->needs[n];

			if (trace->tasks[need].rest < task->rest)
				trace->tasks[need].rest = task->rest;
			if (--waits[need] == 0)
				order[known++] = need;
		}
	}
	free(waits);
	free(order);
	return done == trace->count;
}

static bool
read_graph(struct trace *trace, const json_t *tasks, const json_t *ran,
    double speed, struct error *error)
{
	struct entry *ids;
	bool good;

	if (!read_tasks(trace, tasks, error))
		return false;
	ids = list_ids(trace, error);
	if (ids == NULL)
		return false;
	good = read_runs(trace, ids, tasks, ran, speed, error);
	for (size_t i = 0; good && i < trace->count; i++)
		good = read_needs(trace, ids, &trace->tasks[i],
		    json_object_get(json_array_get(tasks, i), "parents"),
		    error);
	free(ids);
	if (!good)
		return false;
	turn_edges_round(trace);
	if (!measure(trace))
		error_set(error, "its tasks wait for each other in a circle");
	else if (trace->work <= 0)
		error_set(error, "its tasks took no time: nothing to replay");
	else
		return true;
	return false;
}

static struct trace *
read_document(const json_t *root, double speed, struct error *error)
{
	const json_t *workflow = json_object_get(root, "workflow");
	const json_t *tasks = json_object_get(
	    json_object_get(workflow, "specification"), "tasks");
	const json_t *ran =
	    json_object_get(json_object_get(workflow, "execution"), "tasks");
	const char *name = json_string_value(json_object_get(root, "name"));
	struct trace *trace;

	if (json_array_size(tasks) == 0 || !json_is_array(ran)) {
		error_set(error,
		    "no WfFormat 1.5: workflow.specification.tasks and "
		    "workflow.execution.tasks must be lists");
		return NULL;
	}
	trace = array_of(1, sizeof(*trace));
	trace->name = strdup(name != NULL && *name != '\0' ? name : "replay");
	if (trace->name == NULL)
		abort();
	if (read_graph(trace, tasks, ran, speed, error))
		return trace;
	return trace_free(trace);
}

struct trace *
trace_read(const char *file, double speed, struct error *error)
{
	struct text text = TEXT_EMPTY;
	struct trace *trace = NULL;
	json_error_t wrong;
	json_t *root;

	if (input_read(file, &text, error) != 0)
		return NULL;
	root = json_loadb(
	    text_string(&text), text.length, JSON_REJECT_DUPLICATES, &wrong);
	text_free(&text);
	if (root == NULL)
		error_set(error, "%s", wrong.text);
	else
		trace = read_document(root, speed, error);
	if (trace == NULL)
		error_place(error, file, root == NULL ? wrong.line : 0,
		    root == NULL ? wrong.column : 0);
	json_decref(root);
	return trace;
}
