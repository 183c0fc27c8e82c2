/* Brings the schema to the version that this program knows. */
#ifndef CTL_MIGRATE_H
#define CTL_MIGRATE_H

#include "ctl/ctl.h"
#include "common/text.h"

/* What was done. */
struct migrate_report {
	int version_before, version; /* before 0: there was none */
	struct text roles;	     /* created, separated by blanks */
	size_t applied;		     /* migrations, the last ones of the list */
	bool functions;		     /* were replaced */
};

/* In one transaction: all of it or nothing. Frees nothing of the report. */
int migrate_run(struct ctl *ctl, struct migrate_report *report)
    __attribute__((warn_unused_result));

/* The SQL of a whole new schema, to be run with psql. */
void migrate_sql(struct text *ret_sql);

#endif
