/*
 * YAML files as trees that remember where each value stands. A small part of
 * YAML: one document of maps, lists and scalars. Anchors, aliases, tags, a
 * second document, nesting over 32, duplicate keys and files over 1 MB are
 * errors; each is reported with its place, and reading goes on where it can.
 */
#ifndef COMMON_YAML_TREE_H
#define COMMON_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/text.h"

enum {
	YAML_DEPTH_LIMIT = 32,
	YAML_SIZE_LIMIT = 1 << 20,
};

/* A file in memory; its trees point into it, so it must outlive them. */
struct yaml_source {
	char *name;
	char *text;
	size_t size;
	int number; /* the caller's, to sort by */
};

enum yaml_shape {
	YAML_MAP,
	YAML_LIST,
	YAML_SCALAR,
	YAML_BROKEN, /* its error was reported: say no more about it */
};

struct yaml_node {
	const struct yaml_source *source;
	enum yaml_shape shape;
	int line, column; /* of the value, from 1 */
	bool quoted;	  /* scalar: is text, whatever it looks like */
	char *value;	  /* scalar, without NUL inside */
	char *key;	  /* member of a map; NULL otherwise */
	int key_line, key_column;
	struct yaml_node **items; /* map: sorted by key; list: in order */
	size_t count;
};

/* Hears of each error; `error` has its place. */
struct yaml_reporter {
	void (*report)(const struct yaml_source *source,
	    const struct error *error, void *argument);
	void *argument;
};

void yaml_report(const struct yaml_reporter *reporter,
    const struct yaml_source *source, int line, int column, const char *format,
    ...) __attribute__((format(printf, 5, 6)));

/* Reads a file; NULL with `error` filled (place: the file) when it cannot be
 * read or is over the limit. */
struct yaml_source *yaml_source_read(const char *file, struct error *error);
/* The same from memory; copies. */
struct yaml_source *yaml_source_new(
    const char *name, const char *text, size_t size);
struct yaml_source *yaml_source_free(struct yaml_source *source);

/*
 * The tree, an empty map for an empty file. NULL after errors that leave no
 * tree to look at; other errors leave one. The caller frees it.
 */
struct yaml_node *yaml_tree_read(
    const struct yaml_source *source, const struct yaml_reporter *reporter);
struct yaml_node *yaml_tree_free(struct yaml_node *node);

/* The member of a map; NULL: there is none. */
const struct yaml_node *yaml_member(
    const struct yaml_node *map, const char *key);

/* Whether it is a scalar that says nothing, as in "key:" alone. */
bool yaml_is_empty(const struct yaml_node *node);

/* The line of a place as it stands in the file; nothing for line 0. */
void yaml_line(
    const struct yaml_source *source, int line, struct text *ret_text);

/* The line of a place and below it a caret; long lines are cut around it. */
void yaml_caret(const struct yaml_source *source, int line, int column,
    struct text *ret_text);

#endif
