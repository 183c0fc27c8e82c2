/*
 * As root the tool becomes the service user for the moment of connecting:
 * PostgreSQL's peer authentication then sees the user that the daemon is.
 */
#ifndef CTL_SERVICE_USER_H
#define CTL_SERVICE_USER_H

#include <stdbool.h>
#include <sys/types.h>

/* Root's identity, kept for the way back. */
struct service_user {
	bool changed;
	int group_count;
	gid_t groups[64];
};

/*
 * When this process is root: takes the effective identity of the account
 * named in the conninfo's `user`, or of `musterd`. Stays as it is when it is
 * not root or neither account exists.
 */
void service_user_become(struct service_user *self, const char *conninfo);
/* The same for good, in a process that is to become another program. */
void service_user_stay(const char *conninfo);
/* Back to root. Aborts when that fails. */
void service_user_return(struct service_user *self);

#endif
