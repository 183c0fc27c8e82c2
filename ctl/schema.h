/* Whether the schema in the database is one that this program knows. */
#ifndef CTL_SCHEMA_H
#define CTL_SCHEMA_H

#include "ctl/ctl.h"

/* The newest version among the embedded migrations. */
int schema_known_version(void);

/* 0, or CTL_CONFIG (CTL_AGAIN) after the reason was told. */
int schema_check(struct ctl *ctl) __attribute__((warn_unused_result));

#endif
