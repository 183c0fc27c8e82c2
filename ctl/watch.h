/*
 * A flow, or one task, followed by looking again and again. The pauses grow
 * with what a look costs, so that a flow of 100,000 tasks does not keep the
 * server busy for its spectators.
 */
#ifndef CTL_WATCH_H
#define CTL_WATCH_H

#include "ctl/ctl.h"
#include "ctl/state.h"
#include "common/clock.h"

struct watch_task {
	int64_t id;
	char *name;  /* owned; of a task outside flows: its kind */
	char *error; /* owned; NULL: none */
	enum task_state state;
	int attempt;
	int64_t ran_ms;	       /* -1: unknown */
	int64_t items;	       /* of a map: its tasks; 0: it is none */
	int64_t ended, failed; /* … of which so many */
	struct mono since;     /* in this state, as seen from here */
	bool followed, talks;  /* tail: what it tells is seen; it tells */
};

/* Its own tasks, and those of flows nested in it, whose names are paths. */
struct watch {
	int64_t flow; /* 0: one task */
	int64_t task;
	struct watch_task *tasks; /* owned, by id */
	size_t count;
	size_t counts[STATES];
	bool over; /* the flow (or task) is */
	bool succeeded;
	char *flow_name, *flow_state, *flow_error; /* owned; NULL: no flow */
	struct mono started;
	int64_t pause_ms; /* until the next look */
};

/* The flow $1 and those nested in it, as rows (flow_id, path). */
#define WATCH_FLOWS                                                            \
	"WITH RECURSIVE f(flow_id, path) AS (SELECT $1::bigint, ''"            \
	" UNION ALL SELECT c.flow_id, f.path || c.name || '/'"                 \
	" FROM f JOIN muster.containers c ON c.inside = f.flow_id"             \
	" AND c.kind = 'flow') "

/* Hears of each task that is new or whose state or attempt changed. */
typedef void watch_change_cb(
    const struct watch *watch, const struct watch_task *task, void *argument);

void watch_start(struct watch *watch, int64_t flow, int64_t task);
/* One look. While the server is away it tries again for a minute. 0 or an
 * exit code (1: there is no such task or flow). */
int watch_look(struct ctl *ctl, struct watch *watch, watch_change_cb *on_change,
    void *argument) __attribute__((warn_unused_result));
/* NULL: no look has met it. */
struct watch_task *watch_find(struct watch *watch, int64_t id);
/* Whether its error says why it is in its state, and is not one that it has
 * got over. */
bool watch_has_error(const struct watch_task *task);
void watch_free(struct watch *watch);

#endif
