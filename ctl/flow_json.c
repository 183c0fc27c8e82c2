/* A checked flow as JSON. */
#include <string.h>

#include "ctl/flow.h"
#include "common/yaml_json.h"

static void
add_string(struct text *text, const char *string)
{
	text_add_json_string(text, string, strlen(string));
}

const char *
flow_when_name(enum flow_when when)
{
	static const char *const names[] = {"succeeded", "finished", "failed"};

	return names[when];
}

static void
add_needs(
    struct text *text, const struct flow *flow, const struct flow_task *task)
{
	text_add_string(text, ",\"needs\":[");
	for (size_t i = 0; i < task->need_count; i++) {
		const struct flow_need *need = &task->needs[i];

		text_add_string(text, i > 0 ? ",{\"task\":" : "{\"task\":");
		add_string(text, flow->tasks[need->task].name);
		text_addf(
		    text, ",\"when\":\"%s\"}", flow_when_name(need->when));
	}
	text_add_char(text, ']');
	if (task->least > 0)
		text_addf(
		    text, ",\"needs_mode\":{\"at_least\":%zu}", task->least);
}

/* A word that stands plain in the file and is text all the same. */
static void
add_word(struct text *text, const struct yaml_node *task, const char *key)
{
	const struct yaml_node *node = yaml_member(task, key);

	if (node == NULL)
		return;
	text_addf(text, ",\"%s\":", key);
	add_string(text, node->value);
}

static void
add_ms(struct text *text, const char *key, int64_t ms)
{
	if (ms >= 0)
		text_addf(text, ",\"%s\":\"%lldms\"", key, (long long)ms);
}

static void
add_value(struct text *text, const struct yaml_node *task, const char *key)
{
	const struct yaml_node *node = yaml_member(task, key);

	if (node == NULL)
		return;
	text_addf(text, ",\"%s\":", key);
	yaml_json(node, text);
}

static void
add_map(struct text *text, const struct yaml_node *task)
{
	const struct yaml_node *map = yaml_member(task, "map");
	struct text inner = TEXT_EMPTY;

	if (map == NULL || map->shape != YAML_MAP) {
		add_value(text, task, "map");
	} else {
		add_word(&inner, map, "from");
		add_value(&inner, map, "over");
		add_value(&inner, map, "max_running");
		add_word(&inner, map, "on_failure");
		text_addf(text, ",\"map\":{%s}", text_string(&inner) + 1);
		text_free(&inner);
	}
	add_value(text, task, "chunk");
}

static void
add_kind(struct text *text, const struct flow_task *task)
{
	if (task->inner != NULL) {
		text_add_string(text, "\"flow\":");
		flow_json(task->inner, text);
		return;
	}
	text_add_string(text, "\"kind\":");
	add_string(text, task->kind);
}

static void
add_lock(struct text *text, const struct yaml_node *task)
{
	const struct yaml_node *lock = yaml_member(task, "lock");

	if (lock == NULL || lock->shape == YAML_SCALAR) {
		add_word(text, task, "lock");
		return;
	}
	text_add_string(text, ",\"lock\":{\"key\":");
	add_string(text, yaml_member(lock, "key")->value);
	add_value(text, lock, "limit");
	text_add_char(text, '}');
}

static void
add_task(
    struct text *text, const struct flow *flow, const struct flow_task *task)
{
	add_string(text, task->name);
	text_add_string(text, ":{");
	add_kind(text, task);
	add_word(text, task->node, "queue");
	add_ms(text, "timeout", task->timeout_ms);
	add_ms(text, "expect", task->expect_ms);
	add_word(text, task->node, "run_at");
	add_word(text, task->node, "unique_key");
	add_lock(text, task->node);
	add_value(text, task->node, "priority");
	add_value(text, task->node, "max_attempts");
	add_value(text, task->node, "payload");
	add_map(text, task->node);
	if (task->need_count > 0)
		add_needs(text, flow, task);
	text_add_char(text, '}');
}

void
flow_json(const struct flow *flow, struct text *ret_json)
{
	text_add_char(ret_json, '{');
	if (flow->name != NULL) {
		text_add_string(ret_json, "\"flow\":");
		add_string(ret_json, flow->name);
		text_add_char(ret_json, ',');
	}
	if (flow->on_failure != NULL)
		text_addf(ret_json, "\"on_failure\":\"%s\",", flow->on_failure);
	text_add_string(ret_json, "\"tasks\":{");
	for (size_t i = 0; i < flow->count; i++) {
		if (i > 0)
			text_add_char(ret_json, ',');
		add_task(ret_json, flow, &flow->tasks[i]);
	}
	text_add_string(ret_json, "}}");
}
