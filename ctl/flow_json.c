/* A checked flow as JSON. */
#include <string.h>

#include "ctl/flow.h"
#include "common/yaml_tree.h"

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char *
skip_digits(const char *at)
{
	while (is_digit(*at))
		at++;
	return at;
}

/* JSON's own grammar of numbers: what is none of these is text, so 0777,
 * 1_000 and .5 stay what their author sees. */
static bool
is_number(const char *at)
{
	at += *at == '-';
	if (!is_digit(*at))
		return false;
	at = *at == '0' ? at + 1 : skip_digits(at);
	if (*at == '.') {
		if (!is_digit(*++at))
			return false;
		at = skip_digits(at);
	}
	if (*at == 'e' || *at == 'E') {
		at++;
		at += *at == '+' || *at == '-';
		if (!is_digit(*at))
			return false;
		at = skip_digits(at);
	}
	return *at == '\0';
}

static void
add_string(struct text *text, const char *string)
{
	text_add_json_string(text, string, strlen(string));
}

static void
add_scalar(struct text *text, const struct yaml_node *node)
{
	const char *value = node->value;

	if (node->quoted)
		add_string(text, value);
	else if (*value == '\0')
		text_add_string(text, "null");
	else if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0 ||
		 strcmp(value, "null") == 0 || is_number(value))
		text_add_string(text, value);
	else
		add_string(text, value);
}

/* The depth is bounded by the reader of the tree. */
void
flow_value_json(const struct yaml_node *node, struct text *ret_json)
{
	bool map = node->shape == YAML_MAP;

	if (node->shape == YAML_SCALAR) {
		add_scalar(ret_json, node);
		return;
	}
	text_add_char(ret_json, map ? '{' : '[');
	for (size_t i = 0; i < node->count; i++) {
		if (i > 0)
			text_add_char(ret_json, ',');
		if (map) {
			add_string(ret_json, node->items[i]->key);
			text_add_char(ret_json, ':');
		}
		flow_value_json(node->items[i], ret_json);
	}
	text_add_char(ret_json, map ? '}' : ']');
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
	flow_value_json(node, text);
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
	text_add_string(text, ":{\"kind\":");
	add_string(text, task->kind);
	add_word(text, task->node, "queue");
	add_ms(text, "timeout", task->timeout_ms);
	add_ms(text, "expect", task->expect_ms);
	add_word(text, task->node, "run_at");
	add_word(text, task->node, "unique_key");
	add_lock(text, task->node);
	add_value(text, task->node, "priority");
	add_value(text, task->node, "max_attempts");
	add_value(text, task->node, "payload");
	if (task->need_count > 0)
		add_needs(text, flow, task);
	text_add_char(text, '}');
}

void
flow_json(const struct flow *flow, struct text *ret_json)
{
	text_add_string(ret_json, "{\"flow\":");
	add_string(ret_json, flow->name);
	if (flow->on_failure != NULL)
		text_addf(ret_json, ",\"on_failure\":\"%s\"", flow->on_failure);
	text_add_string(ret_json, ",\"tasks\":{");
	for (size_t i = 0; i < flow->count; i++) {
		if (i > 0)
			text_add_char(ret_json, ',');
		add_task(ret_json, flow, &flow->tasks[i]);
	}
	text_add_string(ret_json, "}}");
}
