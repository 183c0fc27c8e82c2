#include "common/config_rules.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cron.h"
#include "common/pg_conninfo.h"
#include "common/redis.h"

#define ZONES "/usr/share/zoneinfo"

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
config_is_cron(const char *value, struct error *error)
{
	return cron_check(value, error);
}

/* Where the host has no zones the database alone knows. */
bool
config_is_timezone(const char *value, struct error *error)
{
	char path[sizeof(ZONES) + 128];
	size_t length = strspn(value, LETTERS DIGITS "_+-/");

	snprintf(path, sizeof(path), ZONES "/%s", value);
	if (length == 0 || length > 100 || value[length] != '\0' ||
	    value[0] == '/' || value[length - 1] == '/' ||
	    (access(ZONES, X_OK) == 0 && access(path, R_OK) < 0)) {
		error_set(error,
		    "'%.64s' is not the name of a time zone such as "
		    "Europe/Berlin",
		    value);
		return false;
	}
	return true;
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

/* The length of "http://" or "https://" at the start; 0: neither. */
static size_t
scheme_length(const char *value)
{
	if (strncmp(value, "http://", 7) == 0)
		return 7;
	return strncmp(value, "https://", 8) == 0 ? 8 : 0;
}

bool
config_is_url(const char *value, struct error *error)
{
	size_t scheme = scheme_length(value), host, at;

	if (scheme == 0) {
		error_set(error, "not an http:// or https:// URL");
		return false;
	}
	host = strcspn(value + scheme, "/?#");
	for (at = 0; value[at] > ' ' && value[at] <= '~'; at++)
		if (value[at] == '"' || value[at] == '\\')
			break;
	if (value[at] != '\0')
		error_set(error, "a URL has visible ASCII characters only; "
				 "write others as %%XX, or as xn--");
	else if (memchr(value + scheme, '@', host) != NULL)
		error_set(error, "no user or password may stand in it; use "
				 "headers: {Authorization: {file: /path}}");
	else if (host == 0 || value[scheme] == ':')
		error_set(error, "it names no host");
	else if (strchr(value, '#') != NULL)
		error_set(error, "a fragment (#) is never sent");
	else
		return true;
	return false;
}

/* Headers that the handler writes itself, or that frame the request. */
static bool
is_own_header(const char *name)
{
	static const char *const names[] = {"Connection", "Content-Length",
	    "Content-Type", "Expect", "Idempotency-Key", "Keep-Alive",
	    "Muster-Attempt", "Muster-Fencing-Token", "Muster-Flow",
	    "Muster-Kind", "Muster-Task", "TE", "Trailer", "Traceparent",
	    "Transfer-Encoding", "Upgrade"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

bool
config_is_header(const char *value, struct error *error)
{
	size_t length = strspn(value, LETTERS DIGITS "!#$%&'*+-.^_`|~");

	if (length == 0 || length > 100 || value[length] != '\0')
		error_set(error, "'%.64s' is not the name of a header", value);
	else if (is_own_header(value))
		error_set(error, "%.64s is the daemon's own", value);
	else
		return true;
	return false;
}

bool
config_is_header_text(const char *value, struct error *error)
{
	for (size_t i = 0; value[i] != '\0'; i++)
		if (((unsigned char)value[i] < ' ' && value[i] != '\t') ||
		    value[i] == '\177') {
			error_set(error, "a control character");
			return false;
		}
	return true;
}
