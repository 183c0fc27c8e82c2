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

/* NULL: this process is to stay what it is. */
static struct passwd *
account_to_become(const char *conninfo)
{
	struct passwd *account;

	if (geteuid() != 0)
		return NULL;
	account = account_of_conninfo(conninfo);
	if (account == NULL)
		account = getpwnam(SERVICE_ACCOUNT);
	return account != NULL && account->pw_uid != 0 ? account : NULL;
}

void
service_user_become(struct service_user *self, const char *conninfo)
{
	struct passwd *account = account_to_become(conninfo);

	self->changed = false;
	if (account == NULL)
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
service_user_stay(const char *conninfo)
{
	struct passwd *account = account_to_become(conninfo);

	if (account != NULL &&
	    (initgroups(account->pw_name, account->pw_gid) < 0 ||
		setgid(account->pw_gid) < 0 || setuid(account->pw_uid) < 0))
		abort();
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
