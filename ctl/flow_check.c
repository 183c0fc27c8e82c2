/* What the checks of a flow file have in common. */
#include "ctl/flow_check.h"
#include "common/nearest.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
check_complain(
    struct check *check, int line, int column, const char *format, ...)
{
	struct error error;
	char text[900];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	error_set(&error, "%s", text);
	flow_place(check->flow, &error, line, column);
	flow_error_add(check->errors, check->flow->source, &error);
	check->wrong = true;
}

static bool
is_one_of(const char *const *words, const char *word)
{
	for (; *words != NULL; words++)
		if (strcmp(*words, word) == 0)
			return true;
	return false;
}

static void
complain_of_key(
    struct check *check, const struct yaml_node *node, const char *const *known)
{
	struct nearest nearest = nearest_start(node->key);

	for (; *known != NULL; known++)
		nearest_offer(&nearest, *known);
	if (nearest.word != NULL)
		check_complain(check, node->key_line, node->key_column,
		    "unknown key '%.64s', did you mean '%s'?", node->key,
		    nearest.word);
	else
		check_complain(check, node->key_line, node->key_column,
		    "unknown key '%.64s'", node->key);
}

void
check_keys(
    struct check *check, const struct yaml_node *map, const char *const *known)
{
	for (size_t i = 0; i < map->count; i++)
		if (!is_one_of(known, map->items[i]->key))
			complain_of_key(check, map->items[i], known);
}

const char *
check_word(struct check *check, const struct yaml_node *map, const char *key)
{
	const struct yaml_node *node = yaml_member(map, key);

	if (node == NULL || node->shape == YAML_BROKEN)
		return NULL;
	if (node->shape != YAML_SCALAR || *node->value == '\0') {
		COMPLAIN(check, node, "%s must be a word", key);
		return NULL;
	}
	if (strlen(node->value) > FLOW_NAME_LIMIT) {
		COMPLAIN(check, node, "%s is longer than %d bytes", key,
		    FLOW_NAME_LIMIT);
		return NULL;
	}
	return node->value;
}

static int
compare_key(const void *key, const void *member)
{
	return strcmp(key, (*(struct yaml_node *const *)member)->key);
}

bool
check_position(
    const struct check *check, const char *name, size_t *ret_position)
{
	const struct yaml_node *tasks = check->tasks;
	struct yaml_node *const *found = bsearch(name, tasks->items,
	    tasks->count, sizeof(tasks->items[0]), compare_key);

	if (found == NULL)
		return false;
	*ret_position = (size_t)(found - tasks->items);
	return true;
}
