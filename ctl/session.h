/*
 * The connection to PostgreSQL of one call. Blocking, each call with a time
 * limit. Failures are told on standard error here, once, and come back as
 * the exit code to end with.
 */
#ifndef CTL_SESSION_H
#define CTL_SESSION_H

#include <libpq-fe.h>

#include "ctl/ctl.h"

/* The connection string in force: --database, else the configuration's.
 * 0 or an exit code. */
int session_conninfo(struct ctl *ctl, const char **ret_conninfo)
    __attribute__((warn_unused_result));

/* Connects, as root in the name of the service user (service_user.h). The
 * schema may be absent. */
int session_connect_bare(struct ctl *ctl) __attribute__((warn_unused_result));

/* Connects and checks that the schema is one that this program knows. */
int session_connect(struct ctl *ctl) __attribute__((warn_unused_result));

/*
 * One statement with text parameters (NULL: null), within the time limit.
 * 0 with a result that the caller clears, or an exit code.
 */
int session_query(struct ctl *ctl, PGresult **ret_result, const char *sql,
    int count, const char *const *values) __attribute__((warn_unused_result));

/* As session_query, for a caller that judges failures itself: the result may
 * be a failed one, and NULL means that the connection or the time is gone. */
PGresult *session_try(struct ctl *ctl, const char *sql, int count,
    const char *const *values) __attribute__((warn_unused_result));

/* Several statements in one string, results thrown away. */
int session_script(struct ctl *ctl, const char *sql)
    __attribute__((warn_unused_result));

/* Tells what the failed result (or NULL) says; the exit code for it. */
int session_failure(struct ctl *ctl, const PGresult *result);

/* Ends the connection; session_connect makes a new one. */
void session_disconnect(struct ctl *ctl);

/* Of a row: "" for null too. */
const char *session_value(const PGresult *result, int row, const char *column);

#endif
