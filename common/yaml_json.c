#include "common/yaml_json.h"

#include <string.h>

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
yaml_json(const struct yaml_node *node, struct text *ret_json)
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
		yaml_json(node->items[i], ret_json);
	}
	text_add_char(ret_json, map ? '}' : ']');
}
