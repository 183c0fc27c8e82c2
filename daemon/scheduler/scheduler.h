/* The inside of the scheduler, shared by its modules alone. */
#ifndef DAEMON_SCHEDULER_SCHEDULER_H
#define DAEMON_SCHEDULER_SCHEDULER_H

#include "common/child.h"
#include "common/loop.h"
#include "daemon/scheduler/chores.h"
#include "daemon/scheduler/rescue.h"
#include "daemon/scheduler/schedules.h"
#include "daemon/scheduler/session.h"
#include "daemon/scheduler/triggers.h"
#include "daemon/scheduler/wake.h"
#include "daemon/scheduler/watch.h"

struct scheduler {
	struct loop *loop;
	struct event_base *base;
	struct scoreboard *board;
	struct config *config; /* owned; of the generation in use */
	char instance[256];
	bool first; /* since the supervisor's start */
	bool draining;
	struct mono gone_at; /* the end of leaving */
	struct session session;
	struct chores chores;
	struct rescue rescue;
	struct schedules schedules;
	struct watch watch;
	struct triggers triggers;
	struct wake wake;
};

#endif
