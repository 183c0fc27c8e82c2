#include "common/yaml_tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct reader {
	yaml_parser_t parser;
	const struct yaml_source *source;
	const struct yaml_reporter *reporter;
	struct yaml_node *root;
	struct yaml_node *open[YAML_DEPTH_LIMIT]; /* maps and lists around */
	size_t depth;
	char *key; /* owned; its value is to come */
	yaml_mark_t key_mark;
	bool ended; /* the first document did */
};

__attribute__((format(printf, 3, 4))) static void
complain(struct reader *reader, yaml_mark_t mark, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	yaml_report(reader->reporter, reader->source, (int)mark.line + 1,
	    (int)mark.column + 1, "%s", text);
}

static struct yaml_node *
node_new(struct reader *reader, enum yaml_shape shape, yaml_mark_t mark)
{
	struct yaml_node *node = calloc(1, sizeof(*node));

	if (node == NULL)
		abort();
	node->source = reader->source;
	node->shape = shape;
	node->line = node->key_line = (int)mark.line + 1;
	node->column = node->key_column = (int)mark.column + 1;
	return node;
}

static void
append(struct yaml_node *parent, struct yaml_node *node)
{
	size_t count = parent->count;

	if ((count & (count - 1)) == 0) { /* grows at powers of two */
		parent->items = reallocarray(
		    parent->items, count == 0 ? 1 : count * 2, sizeof(node));
		if (parent->items == NULL)
			abort();
	}
	parent->items[parent->count++] = node;
}

/* Puts a node where the reader stands. */
static void
place(struct reader *reader, struct yaml_node *node)
{
	struct yaml_node *parent;

	if (reader->depth == 0) {
		reader->root = node;
		return;
	}
	parent = reader->open[reader->depth - 1];
	if (parent->shape == YAML_MAP) {
		node->key = reader->key;
		node->key_line = (int)reader->key_mark.line + 1;
		node->key_column = (int)reader->key_mark.column + 1;
		reader->key = NULL;
	}
	append(parent, node);
}

static bool
expects_key(const struct reader *reader)
{
	return reader->depth > 0 && reader->key == NULL &&
	       reader->open[reader->depth - 1]->shape == YAML_MAP;
}

/* Copies a scalar; false when it holds a NUL. */
static bool
copy_scalar(struct reader *reader, const yaml_event_t *event, char **ret_copy)
{
	size_t length = event->data.scalar.length;
	const char *value = (const char *)event->data.scalar.value;

	if (memchr(value, '\0', length) != NULL) {
		complain(reader, event->start_mark,
		    "a NUL character is not allowed");
		return false;
	}
	*ret_copy = strndup(value, length);
	if (*ret_copy == NULL)
		abort();
	return true;
}

/* Anchors and tags of any node; the node itself is read on. */
static void
refuse_properties(struct reader *reader, yaml_mark_t mark,
    const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor != NULL)
		complain(reader, mark, "anchors (&%.64s) are not allowed",
		    (const char *)anchor);
	if (tag != NULL)
		complain(reader, mark, "tags (%.64s) are not allowed",
		    (const char *)tag);
}

static bool
read_scalar(struct reader *reader, const yaml_event_t *event)
{
	struct yaml_node *node;

	refuse_properties(reader, event->start_mark, event->data.scalar.anchor,
	    event->data.scalar.tag);
	if (expects_key(reader)) {
		reader->key_mark = event->start_mark;
		return copy_scalar(reader, event, &reader->key);
	}
	node = node_new(reader, YAML_SCALAR, event->start_mark);
	node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	if (!copy_scalar(reader, event, &node->value))
		node->shape = YAML_BROKEN;
	place(reader, node);
	return true;
}

static bool
read_start(struct reader *reader, const yaml_event_t *event,
    enum yaml_shape shape, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	struct yaml_node *node;

	refuse_properties(reader, event->start_mark, anchor, tag);
	if (expects_key(reader)) {
		complain(
		    reader, event->start_mark, "a key must be a plain word");
		return false;
	}
	if (reader->depth == YAML_DEPTH_LIMIT) {
		complain(reader, event->start_mark,
		    "nested more than %d levels deep", YAML_DEPTH_LIMIT);
		return false;
	}
	node = node_new(reader, shape, event->start_mark);
	place(reader, node);
	reader->open[reader->depth++] = node;
	return true;
}

static bool
read_alias(struct reader *reader, const yaml_event_t *event)
{
	complain(reader, event->start_mark, "aliases (*%.64s) are not allowed",
	    (const char *)event->data.alias.anchor);
	if (expects_key(reader))
		return false;
	place(reader, node_new(reader, YAML_BROKEN, event->start_mark));
	return true;
}

static int
compare_members(const void *a, const void *b)
{
	const struct yaml_node *left = *(struct yaml_node *const *)a;
	const struct yaml_node *right = *(struct yaml_node *const *)b;
	int order = strcmp(left->key, right->key);

	if (order == 0)
		order = left->key_line - right->key_line;
	return order != 0 ? order : left->key_column - right->key_column;
}

/* Sorts the members; the first of duplicates stays, the others are reported. */
static void
close_map(struct reader *reader, struct yaml_node *map)
{
	size_t kept = 0;

	if (map->count > 0)
		qsort(map->items, map->count, sizeof(map->items[0]),
		    compare_members);
	for (size_t i = 0; i < map->count; i++) {
		struct yaml_node *node = map->items[i];

		if (kept == 0 ||
		    strcmp(map->items[kept - 1]->key, node->key) != 0) {
			map->items[kept++] = node;
			continue;
		}
		yaml_report(reader->reporter, reader->source, node->key_line,
		    node->key_column, "duplicate key '%.64s', first on line %d",
		    node->key, map->items[kept - 1]->key_line);
		yaml_tree_free(node);
	}
	map->count = kept;
}

static bool
read_document(struct reader *reader, const yaml_event_t *event)
{
	if (reader->ended) {
		complain(reader, event->start_mark,
		    "a second document is not allowed");
		return false;
	}
	if (event->data.document_start.version_directive != NULL ||
	    event->data.document_start.tag_directives.start !=
		event->data.document_start.tag_directives.end)
		complain(reader, event->start_mark,
		    "directives (%%YAML, %%TAG) are not allowed");
	return true;
}

static void
read_end(struct reader *reader)
{
	struct yaml_node *node = reader->open[--reader->depth];

	if (node->shape == YAML_MAP)
		close_map(reader, node);
}

/* Takes one event; false: there is no point in reading on. */
static bool
take_event(struct reader *reader, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		return read_document(reader, event);
	case YAML_DOCUMENT_END_EVENT:
		reader->ended = true;
		return true;
	case YAML_SCALAR_EVENT:
		return read_scalar(reader, event);
	case YAML_ALIAS_EVENT:
		return read_alias(reader, event);
	case YAML_MAPPING_START_EVENT:
		return read_start(reader, event, YAML_MAP,
		    event->data.mapping_start.anchor,
		    event->data.mapping_start.tag);
	case YAML_SEQUENCE_START_EVENT:
		return read_start(reader, event, YAML_LIST,
		    event->data.sequence_start.anchor,
		    event->data.sequence_start.tag);
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		read_end(reader);
		return true;
	default:
		return true;
	}
}

/* libyaml gives bytes it cannot read only as an offset. */
static yaml_mark_t
mark_of_offset(const struct yaml_source *source, size_t offset)
{
	yaml_mark_t mark = {0};

	for (size_t i = 0; i < offset && i < source->size; i++) {
		mark.column++;
		if (source->text[i] != '\n')
			continue;
		mark.line++;
		mark.column = 0;
	}
	return mark;
}

static void
complain_of_syntax(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;

	if (parser->error == YAML_MEMORY_ERROR)
		abort();
	if (parser->error == YAML_READER_ERROR)
		complain(reader,
		    mark_of_offset(reader->source, parser->problem_offset),
		    "%s", parser->problem);
	else if (parser->context != NULL &&
		 parser->context_mark.line != parser->problem_mark.line)
		complain(reader, parser->problem_mark,
		    "%s, %s that begins on line %zu", parser->problem,
		    parser->context, parser->context_mark.line + 1);
	else if (parser->context != NULL)
		complain(reader, parser->problem_mark, "%s, %s",
		    parser->problem, parser->context);
	else
		complain(reader, parser->problem_mark, "%s", parser->problem);
}

/* Whether the end was reached. */
static bool
read_events(struct reader *reader)
{
	bool more = true, done = false;

	while (more && !done) {
		yaml_event_t event;

		if (!yaml_parser_parse(&reader->parser, &event)) {
			complain_of_syntax(reader);
			return false;
		}
		done = event.type == YAML_STREAM_END_EVENT;
		more = take_event(reader, &event);
		yaml_event_delete(&event);
	}
	return more;
}

/* What is open when reading stops early has its members in file order; only
 * freeing it is left to do. */
struct yaml_node *
yaml_tree_read(
    const struct yaml_source *source, const struct yaml_reporter *reporter)
{
	struct reader reader = {.source = source, .reporter = reporter};
	bool whole;

	if (!yaml_parser_initialize(&reader.parser))
		abort();
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(
	    &reader.parser, (const unsigned char *)source->text, source->size);
	whole = read_events(&reader);
	yaml_parser_delete(&reader.parser);
	free(reader.key);
	if (!whole)
		return yaml_tree_free(reader.root);
	if (reader.root == NULL)
		reader.root = node_new(&reader, YAML_MAP, (yaml_mark_t){0});
	return reader.root;
}

struct yaml_node *
yaml_tree_free(struct yaml_node *node)
{
	if (node == NULL)
		return NULL;
	for (size_t i = 0; i < node->count; i++)
		yaml_tree_free(node->items[i]);
	free(node->items);
	free(node->key);
	free(node->value);
	free(node);
	return NULL;
}

static int
compare_key(const void *key, const void *member)
{
	return strcmp(key, (*(struct yaml_node *const *)member)->key);
}

const struct yaml_node *
yaml_member(const struct yaml_node *map, const char *key)
{
	struct yaml_node *const *found;

	if (map->shape != YAML_MAP || map->count == 0)
		return NULL;
	found = bsearch(
	    key, map->items, map->count, sizeof(map->items[0]), compare_key);
	return found == NULL ? NULL : *found;
}

bool
yaml_is_empty(const struct yaml_node *node)
{
	return node->shape == YAML_SCALAR && !node->quoted &&
	       node->value[0] == '\0';
}
