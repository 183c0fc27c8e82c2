/* What stands under the name of a task in a flow file. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/flow_check.h"
#include "ctl/format.h"
#include "common/duration.h"
#include "common/nearest.h"

static const char *const task_keys[] = {"kind", "payload", "queue", "priority",
    "needs", "needs_mode", "max_attempts", "timeout", "run_at", "expect", "map",
    "chunk", "flow", "unique_key", "lock", NULL};
static const char *const lock_keys[] = {"key", "limit", NULL};
static const char *const need_keys[] = {"task", "when", NULL};
static const char *const mode_keys[] = {"at_least", NULL};

void
check_int(struct check *check, const struct yaml_node *map, const char *key,
    int least, int most)
{
	const struct yaml_node *node = yaml_member(map, key);

	if (node == NULL || node->shape == YAML_BROKEN)
		return;
	if (node->shape != YAML_SCALAR || node->quoted ||
	    !format_is_int(node->value, least, most))
		COMPLAIN(check, node, "%s must be a whole number, %d … %d", key,
		    least, most);
}

/* -1 without the key or after a complaint. */
static int64_t
read_duration(struct check *check, const struct yaml_node *map, const char *key)
{
	const struct yaml_node *node = yaml_member(map, key);
	int64_t ms;

	if (node == NULL || node->shape == YAML_BROKEN)
		return -1;
	if (node->shape == YAML_SCALAR && duration_parse(node->value, &ms) == 0)
		return ms;
	COMPLAIN(
	    check, node, "%s must be a duration such as 500ms, 30s or 2h", key);
	return -1;
}

static void
complain_of_need(
    struct check *check, const struct yaml_node *node, const char *name)
{
	struct nearest nearest = nearest_start(name);

	for (size_t i = 0;
	     i < check->tasks->count && check->errors->count < FLOW_ERRORS;
	     i++) /* else it is not shown */
		nearest_offer(&nearest, check->tasks->items[i]->key);
	if (nearest.word != NULL)
		COMPLAIN(check, node,
		    "needs '%.64s', which is no task of this flow; did you "
		    "mean '%.64s'?",
		    name, nearest.word);
	else
		COMPLAIN(check, node,
		    "needs '%.64s', which is no task of this flow", name);
}

static bool
read_when(
    struct check *check, const struct yaml_node *node, enum flow_when *ret_when)
{
	const char *word = check_word(check, node, "when");

	*ret_when = FLOW_SUCCEEDED;
	for (int i = 0; word != NULL && i <= FLOW_FAILED; i++)
		if (strcmp(word, flow_when_name((enum flow_when)i)) == 0) {
			*ret_when = (enum flow_when)i;
			return true;
		}
	if (word != NULL)
		COMPLAIN(check, yaml_member(node, "when"),
		    "when must be succeeded, finished or failed");
	return word == NULL;
}

/* One edge: a name, or {task: name, when: how}. */
static bool
read_need(struct check *check, const struct yaml_node *node,
    struct flow_need *ret_need)
{
	const char *name = NULL;
	size_t position;

	ret_need->when = FLOW_SUCCEEDED;
	if (node->shape == YAML_MAP) {
		check_keys(check, node, need_keys);
		name = check_word(check, node, "task");
		if (yaml_member(node, "task") == NULL)
			COMPLAIN(check, node, "the key 'task' is missing");
		if (!read_when(check, node, &ret_need->when))
			return false;
	} else if (node->shape == YAML_SCALAR) {
		name = node->value;
	} else if (node->shape == YAML_LIST) {
		COMPLAIN(check, node,
		    "a need must be a name or {task: NAME, when: HOW}");
	}
	if (name == NULL)
		return false;
	if (!check_position(check, name, &position)) {
		complain_of_need(check, node, name);
		return false;
	}
	ret_need->task = check->number[position];
	return true;
}

static int
compare_needs(const void *a, const void *b)
{
	size_t left = ((const struct flow_need *)a)->task;
	size_t right = ((const struct flow_need *)b)->task;

	return left < right ? -1 : left > right;
}

static void
refuse_twice(struct check *check, const struct flow_task *task,
    const struct yaml_node *list)
{
	struct flow_need *sorted;

	if (task->need_count < 2)
		return;
	sorted = calloc(task->need_count, sizeof(*sorted));
	if (sorted == NULL)
		abort();
	memcpy(sorted, task->needs, task->need_count * sizeof(*sorted));
	qsort(sorted, task->need_count, sizeof(*sorted), compare_needs);
	for (size_t i = 1; i < task->need_count; i++)
		if (sorted[i].task == sorted[i - 1].task)
			COMPLAIN(check, list, "needs '%.64s' twice",
			    check->flow->tasks[sorted[i].task].name);
	free(sorted);
}

static void
read_needs(struct check *check, struct flow_task *task)
{
	const struct yaml_node *list = yaml_member(task->node, "needs");

	if (list == NULL || list->shape == YAML_BROKEN)
		return;
	if (list->shape != YAML_LIST) {
		COMPLAIN(check, list, "needs must be a list such as [a, b]");
		return;
	}
	task->needs = calloc(list->count + 1, sizeof(*task->needs));
	if (task->needs == NULL)
		abort();
	for (size_t i = 0; i < list->count; i++)
		if (read_need(
			check, list->items[i], &task->needs[task->need_count]))
			task->need_count++;
	refuse_twice(check, task, list);
}

/* A key, or {key: KEY, limit: COUNT}. */
static void
check_lock(struct check *check, const struct yaml_node *task)
{
	const struct yaml_node *lock = yaml_member(task, "lock");

	if (lock == NULL || lock->shape == YAML_BROKEN)
		return;
	if (lock->shape == YAML_MAP) {
		check_keys(check, lock, lock_keys);
		if (yaml_member(lock, "key") == NULL)
			COMPLAIN(check, lock, "the key 'key' is missing");
		(void)check_word(check, lock, "key");
		check_int(check, lock, "limit", 1, 1000000);
	} else if (lock->shape == YAML_LIST) {
		COMPLAIN(check, lock,
		    "lock must be a key or {key: KEY, limit: COUNT}");
	} else {
		(void)check_word(check, task, "lock");
	}
}

/* How many needs must be met: all, any or {at_least: K}. */
static void
read_mode(struct check *check, struct flow_task *task)
{
	const struct yaml_node *node = yaml_member(task->node, "needs_mode");
	const struct yaml_node *least = node;

	if (node == NULL || node->shape == YAML_BROKEN)
		return;
	if (node->shape == YAML_MAP) {
		check_keys(check, node, mode_keys);
		least = yaml_member(node, "at_least");
	}
	if (node->shape == YAML_SCALAR && strcmp(node->value, "all") == 0)
		return;
	if (node->shape == YAML_SCALAR && strcmp(node->value, "any") == 0)
		task->least = 1;
	else if (node->shape == YAML_MAP && least != NULL &&
		 least->shape == YAML_SCALAR && !least->quoted &&
		 format_is_int(least->value, 1, INT_MAX))
		task->least = strtoul(least->value, NULL, 10);
	else
		COMPLAIN(check, node,
		    "needs_mode must be all, any or {at_least: NUMBER}");
	if (task->least > task->need_count)
		COMPLAIN(check, node,
		    "needs_mode wants %zu needs met, but there are %zu",
		    task->least, task->need_count);
}

void
check_task(struct check *check, struct flow_task *task)
{
	const struct yaml_node *node = task->node, *kind;

	if (node->shape == YAML_BROKEN)
		return;
	if (node->shape != YAML_MAP) {
		COMPLAIN(check, node, "task '%.64s' must be a map with a kind",
		    task->name);
		return;
	}
	check_keys(check, node, task_keys);
	kind = yaml_member(node, "kind");
	if (kind == NULL && yaml_member(node, "flow") == NULL)
		check_complain(check, node->key_line, node->key_column,
		    "task '%.64s' has no kind", task->name);
	task->kind = check_word(check, node, "kind");
	task->line = kind != NULL ? kind->line : node->line;
	task->column = kind != NULL ? kind->column : node->column;
	task->queue = check_word(check, node, "queue");
	if (task->queue == NULL)
		task->queue = "default";
	check_int(check, node, "priority", -1000, 1000);
	check_int(check, node, "max_attempts", 1, 1000000);
	task->timeout_ms = read_duration(check, node, "timeout");
	task->expect_ms = read_duration(check, node, "expect");
	(void)check_word(check, node, "run_at");
	(void)check_word(check, node, "unique_key");
	check_lock(check, node);
	read_needs(check, task);
	read_mode(check, task);
	check_container(check, task);
}
