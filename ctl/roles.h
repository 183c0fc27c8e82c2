/* The four roles of the schema. */
#ifndef CTL_ROLES_H
#define CTL_ROLES_H

#include "ctl/ctl.h"
#include "common/text.h"

/*
 * Creates those that are absent and makes the session's user a member of
 * muster_owner. Without the right to create them prints the SQL for someone
 * who has it, and returns CTL_CONFIG. `ret_created` gets their names,
 * separated by blanks.
 */
int roles_create(struct ctl *ctl, struct text *ret_created)
    __attribute__((warn_unused_result));

/* A role that may log in and does a daemon's and musterctl's work. */
int roles_create_login(struct ctl *ctl, const char *name)
    __attribute__((warn_unused_result));

/* The SQL that creates all of them. */
void roles_sql(struct text *ret_sql);

#endif
