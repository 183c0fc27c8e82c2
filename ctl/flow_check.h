/* What the files that check a flow share; nobody else includes it. */
#ifndef CTL_FLOW_CHECK_H
#define CTL_FLOW_CHECK_H

#include "ctl/flow.h"
#include "common/yaml_tree.h"

enum { FLOW_NAME_LIMIT = 200 };

/* A file being checked. */
struct check {
	struct flow *flow;
	struct flow_errors *errors;
	const struct yaml_node *tasks; /* the map, sorted by name */
	size_t
	    *number; /* owned; its members' places in the order of the file */
	const char *path; /* of the nested flow; NULL: it is in no other */
	bool wrong;
};

__attribute__((format(printf, 4, 5))) void check_complain(
    struct check *check, int line, int column, const char *format, ...);
#define COMPLAIN(check, node, ...)                                             \
	check_complain(check, (node)->line, (node)->column, __VA_ARGS__)

/* Complains of keys that are not among the known ones. */
void check_keys(
    struct check *check, const struct yaml_node *map, const char *const *known);

/* A member that is a word; NULL after a complaint or without it. */
const char *check_word(
    struct check *check, const struct yaml_node *map, const char *key);

/* Where a task stands in the sorted map; false: there is none. */
bool check_position(
    const struct check *check, const char *name, size_t *ret_position);

/* A member that is a plain whole number in this range, or absent. */
void check_int(struct check *check, const struct yaml_node *map,
    const char *key, int least, int most);

/* The member on_failure; NULL: not said, or a complaint. */
const char *check_on_failure(struct check *check, const struct yaml_node *map);

/* Reads what stands under a task's name. */
void check_task(struct check *check, struct flow_task *task);
/* What of it makes it a map or a nested flow; its needs are read. */
void check_container(struct check *check, struct flow_task *task);

/* The flow that stands inside a task, whatever was wrong with it. */
struct flow *flow_read_inner(struct check *outer, const struct flow_task *task,
    const struct yaml_node *node);

#endif
