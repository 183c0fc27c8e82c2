/*
 * What the parts of loading share. Private to the config_*.c files.
 */
#ifndef COMMON_CONFIG_LOAD_H
#define COMMON_CONFIG_LOAD_H

#include "common/config_collect.h"
#include "common/config_table.h"
#include "common/yaml_tree.h"

/* Where a queue or handler was named last, to point at it. */
struct config_place {
	const struct config_key *key; /* queues or handlers */
	char *name;		      /* owned */
	const struct yaml_node *node;
	bool broken; /* something in it was reported */
};

struct config_loader {
	struct config *config;
	const char *file; /* the first, which the others stand beside */
	struct config_collector collector;
	const struct yaml_node *root; /* of the file being read */
	struct config_place *places;  /* owned; in order of appearance */
	size_t place_count;
};

/* An error at a node's key, or at its value. */
void config_complain_key(struct config_loader *loader,
    const struct yaml_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void config_complain(struct config_loader *loader, const struct yaml_node *node,
    const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Reads a map into the struct of a section. */
void config_read_section(struct config_loader *loader,
    const struct config_section *section, void *base,
    const struct yaml_node *map);

/* The key of a section, those of inline sections too (`ret_base` becomes the
 * struct it lies in); NULL: unknown. */
const struct config_key *config_find_key(const struct config_section *section,
    const char *name, void *base, void **ret_base);

/* The known name nearest to a wrong one; NULL: none is near. */
const char *config_nearest_key(
    const struct config_section *section, const char *name);

/* The unit that runs with this file if `folder` is where units look for theirs:
 * musterd.service with musterd.yaml, musterd@NAME.service with NAME.yaml.
 * False: none does. */
bool config_unit_of(
    const char *file, const char *folder, struct text *ret_unit);

/* Once all files are read: resolves what follows from other keys, and checks
 * what no single value shows. */
void config_settle(struct config_loader *loader, const char *file);

#endif
