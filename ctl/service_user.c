#include "ctl/service_user.h"

#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SERVICE_ACCOUNT "musterd"

static struct passwd *
account_of_conninfo(const char *conninfo)
{
	PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
	struct passwd *account = NULL;

	if (options == NULL)
		return NULL;
	for (PQconninfoOption *at = options; at->keyword != NULL; at++)
		if (strcmp(at->keyword, "user") == 0 && at->val != NULL)
			account = getpwnam(at->val);
	PQconninfoFree(options);
	return account;
}

void
service_user_become(struct service_user *self, const char *conninfo)
{
	struct passwd *account;

	self->changed = false;
	if (geteuid() != 0)
		return;
	account = account_of_conninfo(conninfo);
	if (account == NULL)
		account = getpwnam(SERVICE_ACCOUNT);
	if (account == NULL || account->pw_uid == 0)
		return;
	self->group_count = getgroups(64, self->groups);
	if (self->group_count < 0)
		return;
	if (initgroups(account->pw_name, account->pw_gid) < 0 ||
	    setegid(account->pw_gid) < 0 || seteuid(account->pw_uid) < 0)
		abort();
	self->changed = true;
}

void
service_user_return(struct service_user *self)
{
	if (!self->changed)
		return;
	if (seteuid(0) < 0 || setegid(0) < 0 ||
	    setgroups((size_t)self->group_count, self->groups) < 0)
		abort();
	self->changed = false;
}
