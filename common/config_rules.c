#include "common/config_rules.h"

#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include "common/pg_conninfo.h"
#include "common/redis.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

bool
config_is_name(const char *value, struct error *error)
{
	size_t length = strspn(value, LETTERS DIGITS "_-.:/");

	if (length > 0 && length <= 100 && value[length] == '\0')
		return true;
	error_set(error,
	    "'%.64s' is not a name: 1 to 100 letters, digits and _ - . : /",
	    value);
	return false;
}

bool
config_is_absolute(const char *value, struct error *error)
{
	if (value[0] == '/')
		return true;
	error_set(error, "'%.64s' is not an absolute path", value);
	return false;
}

bool
config_is_runtime_dir(const char *value, struct error *error)
{
	/* The longest name in it is that of the control socket. */
	size_t room = sizeof(((struct sockaddr_un *)0)->sun_path) -
		      sizeof("/control.sock");

	if (!config_is_absolute(value, error))
		return false;
	if (strlen(value) <= room)
		return true;
	error_set(error,
	    "longer than %zu bytes: no room for the control socket's name",
	    room);
	return false;
}

static bool
may_hold_password(const char *conninfo)
{
	const char *at = conninfo;

	while ((at = strstr(at, "pass")) != NULL)
		if (strncmp(at++, "passfile=", 9) != 0)
			return true;
	return strchr(conninfo, '@') != NULL;
}

/* libpq's own words, unless they might quote a password. */
bool
config_is_conninfo(const char *value, struct error *error)
{
	bool secret = may_hold_password(value);
	struct error problem;

	if (pg_conninfo_check(value, &problem))
		return true;
	error_set(error, "not a connection string%s%s", secret ? "" : ": ",
	    secret ? "" : problem.text);
	return false;
}

bool
config_is_redis(const char *value, struct error *error)
{
	struct redis_address address;

	if (redis_address_parse(value, &address, error) < 0)
		return false;
	redis_address_free(&address);
	return true;
}

/* How many bytes are an SQL identifier that needs no quotes. */
static size_t
identifier(const char *value)
{
	size_t length;

	if (strspn(value, LETTERS "_") == 0)
		return 0;
	length = strspn(value, LETTERS DIGITS "_$");
	return length <= 63 ? length : 0;
}

bool
config_is_function(const char *value, struct error *error)
{
	size_t schema = identifier(value);
	size_t name = value[schema] == '.' ? identifier(value + schema + 1) : 0;

	if (schema > 0 && name > 0 && value[schema + 1 + name] == '\0')
		return true;
	error_set(error, "'%.64s' is not schema.function", value);
	return false;
}

bool
config_is_variable(const char *value, struct error *error)
{
	size_t length = strspn(value, LETTERS DIGITS "_");

	if (length == 0 || value[length] != '\0' || strspn(value, DIGITS) > 0) {
		error_set(
		    error, "'%.64s' is not the name of a variable", value);
		return false;
	}
	if (strncmp(value, "MUSTER_", 7) != 0)
		return true;
	error_set(error, "variables called MUSTER_… are the daemon's own");
	return false;
}
