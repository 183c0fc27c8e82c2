#include "ctl/handled.h"

#include <string.h>

#include "ctl/session.h"
#include "common/nearest.h"

int
handled_read(struct ctl *ctl, struct handled *ret_handled)
{
	static const char sql[] =
	    "SELECT DISTINCT queue, kind FROM muster.worker_status w"
	    " LEFT JOIN unnest(w.queues) AS q(queue) ON true"
	    " LEFT JOIN unnest(w.kinds) AS k(kind) ON true";
	int code;

	*ret_handled = (struct handled){0};
	code = session_query(ctl, &ret_handled->rows, sql, 0, NULL);
	if (code == 0)
		ret_handled->any_worker = PQntuples(ret_handled->rows) > 0;
	return code;
}

void
handled_free(struct handled *handled)
{
	PQclear(handled->rows);
	handled->rows = NULL;
}

bool
handled_has_kind(const struct handled *handled, const char *kind)
{
	for (int row = 0; row < PQntuples(handled->rows); row++)
		if (strcmp(PQgetvalue(handled->rows, row, 1), kind) == 0)
			return true;
	return false;
}

bool
handled_has(const struct handled *handled, const char *queue, const char *kind)
{
	for (int row = 0; row < PQntuples(handled->rows); row++)
		if (strcmp(PQgetvalue(handled->rows, row, 0), queue) == 0 &&
		    strcmp(PQgetvalue(handled->rows, row, 1), kind) == 0)
			return true;
	return false;
}

const char *
handled_nearest_kind(const struct handled *handled, const char *kind)
{
	struct nearest nearest = nearest_start(kind);

	for (int row = 0; row < PQntuples(handled->rows); row++)
		nearest_offer(&nearest, PQgetvalue(handled->rows, row, 1));
	return nearest.word;
}

bool
handled_nobody(const struct handled *handled, const char *queue,
    const char *kind, struct error *error)
{
	const char *near;

	if (handled_has(handled, queue, kind))
		return false;
	if (handled_has_kind(handled, kind)) {
		error_set(error,
		    "no live worker takes tasks of kind '%s' from queue '%s'",
		    kind, queue);
		return true;
	}
	near = handled_nearest_kind(handled, kind);
	error_set(error, "no live worker handles tasks of kind '%s'%s%s%s",
	    kind, near != NULL ? "; did you mean '" : "",
	    near != NULL ? near : "", near != NULL ? "'?" : "");
	return true;
}
