/*
 * What the parts of member (member.c, registration.c, read_back.c) want of
 * each other; see member.h.
 */
#ifndef DAEMON_WORKER_MEMBER_PARTS_H
#define DAEMON_WORKER_MEMBER_PARTS_H

#include "common/pg.h"
#include "daemon/worker/member.h"

struct running_list;
struct worker;

void member_set_state(struct worker *worker, enum member_state state);
/* A step on the way in was refused: from the start again, a little later. */
void member_retry_later(
    struct worker *worker, const char *what, const PGresult *result);
/* The worker is in; turns may go on. */
void member_entered(struct worker *worker);

/* Registers, under a new id if there is none. */
void registration_start(struct worker *worker);

/* Reads the leases; member_entered is called at the end. */
void read_back(struct worker *worker);
void read_back_free(struct worker *worker);
/* The outcomes in a list count for nothing: says so, forgets them. */
void read_back_void(struct worker *worker, struct running_list *list);

#endif
