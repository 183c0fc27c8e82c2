/*
 * Errors as they are found, in the order of files and lines in the end.
 * Private to the config_*.c files.
 */
#ifndef COMMON_CONFIG_COLLECT_H
#define COMMON_CONFIG_COLLECT_H

#include "common/config.h"
#include "common/yaml_tree.h"

enum { CONFIG_ERRORS_LIMIT = 100 };

struct config_found;

struct config_collector {
	struct config_found *found; /* owned */
	size_t count;
};

/* An error about a place; without caret when the line may show a secret. */
void config_collect(struct config_collector *collector,
    const struct yaml_source *source, const struct error *error);
/* As a yaml_reporter has it; the argument is the collector. */
void config_collect_report(const struct yaml_source *source,
    const struct error *error, void *collector);

/* Hands them over, sorted, the first CONFIG_ERRORS_LIMIT; frees the rest. The
 * sources must still live. */
void config_collector_end(
    struct config_collector *collector, struct config_errors *ret_errors);

/* Adds one to the end of a list. */
void config_errors_add(
    struct config_errors *errors, const struct error *error, const char *caret);

#endif
