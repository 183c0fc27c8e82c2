#include "ctl/flow.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/flow_check.h"
#include "ctl/flow_cycle.h"
#include "ctl/input.h"

static const char *const flow_keys[] = {"flow", "on_failure", "tasks", NULL};

static int
compare_places(const void *a, const void *b)
{
	const struct yaml_node *left = ((const struct flow_task *)a)->node;
	const struct yaml_node *right = ((const struct flow_task *)b)->node;

	return left->key_line != right->key_line
		   ? left->key_line - right->key_line
		   : left->key_column - right->key_column;
}

/* The tasks in the order of the file, and where each name went. */
static void
list_tasks(struct check *check)
{
	struct flow *flow = check->flow;
	size_t count = check->tasks->count, number;

	flow->tasks = calloc(count, sizeof(*flow->tasks));
	check->number = calloc(count, sizeof(size_t));
	if (flow->tasks == NULL || check->number == NULL)
		abort();
	flow->count = count;
	for (size_t i = 0; i < count; i++) {
		flow->tasks[i].node = check->tasks->items[i];
		flow->tasks[i].name = check->tasks->items[i]->key;
	}
	qsort(flow->tasks, count, sizeof(*flow->tasks), compare_places);
	for (size_t i = 0; i < count && check->path != NULL; i++) {
		struct text path = TEXT_EMPTY;

		text_addf(&path, "%s/%s", check->path, flow->tasks[i].name);
		flow->tasks[i].path = text_steal(&path);
	}
	for (size_t i = 0; i < count; i++) {
		if (!check_position(check, flow->tasks[i].name, &number))
			abort();
		check->number[number] = i;
	}
}

static void
check_cycle(struct check *check)
{
	struct text path = TEXT_EMPTY;
	size_t task;

	if (flow_cycle_find(check->flow, &path, &task))
		check_complain(check, check->flow->tasks[task].node->key_line,
		    check->flow->tasks[task].node->key_column,
		    "the needs go round in a circle: %s", text_string(&path));
	text_free(&path);
}

static void
check_names(struct check *check)
{
	for (size_t i = 0; i < check->flow->count; i++) {
		const struct flow_task *task = &check->flow->tasks[i];

		if (*task->name == '\0' || strlen(task->name) > FLOW_NAME_LIMIT)
			check_complain(check, task->node->key_line,
			    task->node->key_column,
			    "a task's name must have 1 to %d bytes",
			    FLOW_NAME_LIMIT);
	}
}

static void
read_tasks(struct check *check)
{
	const struct yaml_node *node = check->flow->node;

	check->tasks = yaml_member(node, "tasks");
	if (check->tasks == NULL) {
		COMPLAIN(check, node, "the key 'tasks' is missing");
		return;
	}
	if (check->tasks->shape != YAML_MAP || check->tasks->count == 0) {
		COMPLAIN(check, check->tasks,
		    "tasks must be a map of one task at least");
		return;
	}
	list_tasks(check);
	check_names(check);
	for (size_t i = 0; i < check->flow->count; i++)
		check_task(check, &check->flow->tasks[i]);
	if (!check->wrong)
		check_cycle(check);
}

const char *
check_on_failure(struct check *check, const struct yaml_node *map)
{
	const char *word = check_word(check, map, "on_failure");

	if (word != NULL && strcmp(word, "cancel") != 0 &&
	    strcmp(word, "continue") != 0)
		COMPLAIN(check, yaml_member(map, "on_failure"),
		    "on_failure must be cancel or continue");
	return word;
}

static void
read_head(struct check *check)
{
	struct flow *flow = check->flow;

	check_keys(check, flow->node, flow_keys);
	flow->name = check_word(check, flow->node, "flow");
	if (!flow->nested && yaml_member(flow->node, "flow") == NULL)
		COMPLAIN(check, flow->node,
		    "the key 'flow' is missing, the flow's name");
	flow->on_failure = check_on_failure(check, flow->node);
}

struct flow *
flow_read_inner(struct check *outer, const struct flow_task *task,
    const struct yaml_node *node)
{
	struct flow *flow = calloc(1, sizeof(*flow));
	struct check check = {.flow = flow,
	    .errors = outer->errors,
	    .path = task->path != NULL ? task->path : task->name};

	if (flow == NULL)
		abort();
	*flow = (struct flow){
	    .node = node, .nested = true, .source = outer->flow->source};
	if (node->shape == YAML_BROKEN)
		return flow;
	if (node->shape != YAML_MAP) {
		COMPLAIN(
		    &check, node, "a flow must be a map with the key tasks");
	} else {
		read_head(&check);
		read_tasks(&check);
	}
	free(check.number);
	outer->wrong = outer->wrong || check.wrong;
	return flow;
}

static void
take_error(
    const struct yaml_source *source, const struct error *error, void *argument)
{
	struct check *check = argument;

	check->wrong = true;
	flow_error_add(check->errors, source, error);
}

static struct flow *
flow_check(struct flow *flow, struct flow_errors *errors)
{
	struct check check = {.flow = flow, .errors = errors};
	struct yaml_reporter reporter = {take_error, &check};

	flow->root = yaml_tree_read(flow->source, &reporter);
	if (flow->root != NULL && flow->root->shape != YAML_MAP) {
		COMPLAIN(&check, flow->root,
		    "a flow must be a map with the keys flow and tasks");
	} else if (flow->root != NULL) {
		flow->node = flow->root;
		read_head(&check);
		read_tasks(&check);
	}
	free(check.number);
	return check.wrong ? flow_free(flow) : flow;
}

struct flow *
flow_parse(
    const char *name, const char *text, size_t size, struct flow_errors *errors)
{
	struct flow *flow = calloc(1, sizeof(*flow));

	if (flow == NULL)
		abort();
	flow->source = yaml_source_new(name, text, size);
	return flow_check(flow, errors);
}

struct flow *
flow_read(const char *file, struct flow_errors *errors)
{
	struct text text = TEXT_EMPTY;
	struct flow *flow = NULL;
	struct error error;

	if (input_read(file, &text, &error) < 0)
		flow_error_add(errors, NULL, &error);
	else
		flow =
		    flow_parse(strcmp(file, "-") == 0 ? "standard input" : file,
			text_string(&text), text.length, errors);
	text_free(&text);
	return flow;
}

struct flow *
flow_free(struct flow *flow)
{
	if (flow == NULL)
		return NULL;
	for (size_t i = 0; i < flow->count; i++) {
		free(flow->tasks[i].needs);
		free(flow->tasks[i].path);
		flow_free(flow->tasks[i].inner);
	}
	free(flow->tasks);
	if (!flow->nested) {
		yaml_tree_free(flow->root);
		yaml_source_free(flow->source);
	}
	free(flow);
	return NULL;
}
