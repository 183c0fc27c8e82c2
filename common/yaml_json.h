/* Values of YAML files as JSON. */
#ifndef COMMON_YAML_JSON_H
#define COMMON_YAML_JSON_H

#include "common/text.h"
#include "common/yaml_tree.h"

/* Appends a value. Plain true, false, null and decimal numbers are themselves,
 * byte for byte, nothing at all is null; everything else is a string. */
void yaml_json(const struct yaml_node *node, struct text *ret_json);

#endif
