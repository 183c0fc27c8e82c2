/*
 * The other workers of this instance, as their scoreboards show them: what
 * they run takes slots of the same concurrency, so neither a reload nor
 * another number of workers ever raises it.
 *
 * Those that leave start nothing more: what they still run is taken off the
 * whole. Those that serve beside us have parts of it, and may run more than
 * their parts after it was lowered; until they run no more than that, a share
 * of slots settles (share.h). As long as one serves by an older configuration,
 * be it that it has not read ours yet or that we are to replace it, a share
 * that settles has no slots.
 */
#ifndef DAEMON_WORKER_OTHERS_H
#define DAEMON_WORKER_OTHERS_H

#include <stdbool.h>

struct event;
struct procmsg;
struct scoreboard;
struct worker;

enum { OTHERS_LOOK_MS = 100 };

struct board_list {
	struct scoreboard **items; /* owned, as is each */
	int count;
};

struct others {
	struct board_list boards; /* of those that have to be looked at */
	struct board_list handed; /* with the configuration that is to come */
	int tasks;		  /* that they ran when last looked */
	bool waits;		  /* for one of an older configuration, then */
	struct event *timer;
};

/* Takes over `boards`. */
void others_open(struct worker *worker, struct scoreboard **boards, int count);
void others_close(struct worker *worker);

/* A PROCMSG_BOARD: of the set that comes with the next configuration. */
void others_handed(struct worker *worker, const struct procmsg *message);
/* That configuration is here: its set replaces the one from before. */
void others_take(struct worker *worker);

/* Counts anew what they take of the worker's shares, whose limits follow from
 * it; forgets who need not be looked at any more (worker_share_out). */
void others_look(struct worker *worker);
void others_forget(struct worker *worker);

#endif
