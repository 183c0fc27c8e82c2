/* Steps that are a flow themselves: maps over lists, and nested flows. */
#include <stdlib.h>
#include <string.h>

#include "ctl/flow_check.h"

static const char *const map_keys[] = {
    "from", "over", "max_running", "on_failure", NULL};
/* What a nested flow leaves to its tasks. */
static const char *const leaf_keys[] = {"kind", "payload", "queue",
    "max_attempts", "timeout", "map", "chunk", NULL};

static bool
is_need(const struct flow *flow, const struct flow_task *task, const char *name)
{
	for (size_t i = 0; i < task->need_count; i++)
		if (strcmp(flow->tasks[task->needs[i].task].name, name) == 0)
			return true;
	return false;
}

/* map: {from: NEED} or {over: [...]}, and how it runs. */
static void
check_long_map(struct check *check, const struct flow_task *task,
    const struct yaml_node *map)
{
	const struct yaml_node *over = yaml_member(map, "over");
	const char *from = check_word(check, map, "from");

	check_keys(check, map, map_keys);
	if ((over == NULL) == (yaml_member(map, "from") == NULL))
		COMPLAIN(check, map, "a map must have either from or over");
	if (over != NULL && over->shape != YAML_LIST &&
	    over->shape != YAML_BROKEN)
		COMPLAIN(check, over, "over must be a list");
	if (from != NULL && !is_need(check->flow, task, from))
		COMPLAIN(check, yaml_member(map, "from"),
		    "'%.64s' is not among the needs of '%.64s'", from,
		    task->name);
	check_int(check, map, "max_running", 1, 1000000);
	(void)check_on_failure(check, map);
}

static void
check_map(struct check *check, const struct flow_task *task)
{
	const struct yaml_node *map = yaml_member(task->node, "map");
	const struct yaml_node *chunk = yaml_member(task->node, "chunk");
	const struct yaml_node *payload = yaml_member(task->node, "payload");

	if (map == NULL && chunk != NULL)
		check_complain(check, chunk->key_line, chunk->key_column,
		    "a chunk is of a map, and there is none");
	if (map == NULL)
		return;
	check_int(check, task->node, "chunk", 1, 10000);
	if (map->shape == YAML_MAP)
		check_long_map(check, task, map);
	else if (map->shape == YAML_SCALAR)
		COMPLAIN(check, map, "map must be a list or {from: NEED}");
	if (payload != NULL && payload->shape != YAML_MAP &&
	    payload->shape != YAML_BROKEN)
		COMPLAIN(check, payload,
		    "the payload of a map must be a map, to which the item is "
		    "added");
}

static void
check_nested(struct check *check, struct flow_task *task)
{
	for (const char *const *key = leaf_keys; *key != NULL; key++) {
		const struct yaml_node *node = yaml_member(task->node, *key);

		if (node != NULL)
			check_complain(check, node->key_line, node->key_column,
			    "a nested flow leaves %s to its tasks", *key);
	}
	task->inner =
	    flow_read_inner(check, task, yaml_member(task->node, "flow"));
}

void
check_container(struct check *check, struct flow_task *task)
{
	if (yaml_member(task->node, "flow") != NULL) {
		check_nested(check, task);
		return;
	}
	task->is_map = yaml_member(task->node, "map") != NULL;
	check_map(check, task);
}

/* Flattening. */

size_t
flow_count_all(const struct flow *flow)
{
	size_t count = flow->count;

	for (size_t i = 0; i < flow->count; i++)
		if (flow->tasks[i].inner != NULL)
			count += flow_count_all(flow->tasks[i].inner);
	return count;
}

static void
copy_needs(struct flow_task *to, const struct flow_task *from, size_t base,
    const size_t *container)
{
	size_t count = from->need_count;

	to->needs = calloc(count + 1, sizeof(*to->needs));
	if (to->needs == NULL)
		abort();
	for (size_t i = 0; i < count; i++) {
		to->needs[i] = from->needs[i];
		to->needs[i].task += base;
	}
	if (count == 0 && container != NULL)
		to->needs[to->need_count++] = (struct flow_need){
		    .task = *container, .when = FLOW_SUCCEEDED};
	else
		to->need_count = count;
}

/* The tasks of a flow side by side, then those of the flows in it. */
static void
flatten(struct flow *flat, const struct flow *flow, const size_t *container)
{
	size_t base = flat->count;

	flat->count += flow->count;
	for (size_t i = 0; i < flow->count; i++) {
		struct flow_task *task = &flat->tasks[base + i];

		*task = flow->tasks[i];
		task->name = task->path != NULL ? task->path : task->name;
		task->inner = NULL;
		task->path = NULL;
		task->need_count = 0;
		copy_needs(task, &flow->tasks[i], base, container);
	}
	for (size_t i = 0; i < flow->count; i++) {
		size_t at = base + i;

		if (flow->tasks[i].inner != NULL)
			flatten(flat, flow->tasks[i].inner, &at);
	}
}

struct flow *
flow_flatten(const struct flow *flow)
{
	struct flow *flat = calloc(1, sizeof(*flat));

	if (flat == NULL)
		abort();
	*flat = (struct flow){.name = flow->name,
	    .source = flow->source,
	    .node = flow->node,
	    .nested = true};
	flat->tasks = calloc(flow_count_all(flow), sizeof(*flat->tasks));
	if (flat->tasks == NULL)
		abort();
	flatten(flat, flow, NULL);
	return flat;
}
