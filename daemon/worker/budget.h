/*
 * Limits across hosts: what this worker has borrowed of the max_running and the
 * rate of a queue or a kind (muster.borrow), and when it asks for more or gives
 * some back. Slots bound the limit of a share, each start takes a token of it;
 * turns know nothing of all this.
 *
 *   RESTING ──something is due──→ ASKING ──answer, or connection lost──→
 * RESTING
 *
 * While ASKING the worker uses no more than it said it keeps, so whatever the
 * answer takes away is not in use, also if it never comes.
 *
 * Asked for more: when all that was lent is in use and there may be more to do:
 * it was woken or polls, it just claimed some, or a token is due. Given back:
 * what was not used for a second, or a fifth of one where others wait.
 */
#ifndef DAEMON_WORKER_BUDGET_H
#define DAEMON_WORKER_BUDGET_H

#include <stdbool.h>

#include "common/clock.h"
#include "common/config.h"
#include "daemon/worker/share.h"

struct event;
struct worker;

enum {
	BUDGET_APART_MS = 20,	   /* between two questions, at least */
	BUDGET_IDLE_MS = 1000,	   /* unused for so long: given back */
	BUDGET_CONTENDED_MS = 200, /* the same where others wait */
	BUDGET_AGAIN_MS = 1000,	   /* who got too little asks again */
	BUDGET_TOKEN_MS = 10000,   /* so does who waits for a token, at least */
};

/* Of one queue or kind. */
struct budget {
	struct share *share; /* not owned */
	char scope;	     /* q or k */
	int max_running;     /* 0: no such limit */
	struct rate_config rate;
	bool known;	    /* has a limit by the configuration in force */
	int held;	    /* slots that the database has noted for us */
	int target;	    /* we are to use no more than these */
	int keep;	    /* of the question that is under way */
	int left;	    /* tokens, when it was sent */
	int granted;	    /* tokens, when it was answered */
	bool news;	    /* ask soon, in any case */
	bool more;	    /* ask when all is in use */
	bool unused;	    /* ask since some of it was not used */
	bool sent;	    /* in the question that is under way */
	bool contended;	    /* others want slots, too */
	bool was_short;	    /* we wanted more slots than we got */
	bool nothing;	    /* no task was waiting when we asked */
	struct mono asked;  /* the last time */
	struct mono again;  /* no token before */
	struct mono judged; /* the last look at what is not used */
};

struct budget_list {
	struct budget *items; /* owned */
	int count;
	bool asking;
	struct event *timer;
};

void budget_open(struct worker *worker);
void budget_close(struct worker *worker);

/* Takes over the limits of the configuration in force; the shares exist. */
void budget_configure(struct worker *worker);

/* Asks what is due to be asked. To be called before each turn is planned. */
void budget_look(struct worker *worker);

/* Others wait for what we have, there is something for us, or the database may
 * not know what we have. */
void budget_told(struct worker *worker);

/* The worker has a new identity, for which nothing was lent. */
void budget_forget(struct worker *worker);

/* A question is under way whose answer may bring slots or tokens. */
bool budget_is_asking(const struct worker *worker);

/* A claim asks for nothing since nothing is lent, and nothing is lent since
 * there was no task: who enqueues one has to wake us. */
bool budget_sleeps(const struct worker *worker);

#endif
