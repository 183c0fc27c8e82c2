/* Whether the schema in the database fits this program. */
#ifndef DAEMON_SCHEMA_H
#define DAEMON_SCHEMA_H

#include "common/pg.h"

/* No parameters; its answer goes to schema_judge. */
extern const struct pg_statement schema_statement;

enum schema_fit {
	SCHEMA_FITS,
	SCHEMA_UNFIT,	   /* the sentence says what to do */
	SCHEMA_UNREADABLE, /* refused for another reason: try again */
};

/* `result` is not NULL. `ret_sentence`: static; NULL unless unfit. */
enum schema_fit schema_judge(const PGresult *result, const char **ret_sentence);

#endif
