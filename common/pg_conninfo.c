#include "common/pg_conninfo.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

/* What libpq leaves to the kernel would let a cut connection hang for hours;
 * GSSAPI would ask a key server without giving the loop back. */
static const struct {
	const char *keyword, *value;
} defaults[] = {
    {"client_encoding", "UTF8"},
    {"gssencmode", "disable"},
    {"keepalives_count", "3"},
    {"keepalives_idle", "10"},
    {"keepalives_interval", "3"},
    {"tcp_user_timeout", "10000"},
};

static char *
copy(const char *string)
{
	char *result = strdup(string);
	if (result == NULL)
		abort();
	return result;
}

static void *
allocate(size_t count, size_t size)
{
	void *result = calloc(count, size);
	if (result == NULL)
		abort();
	return result;
}

static const PQconninfoOption *
find(const PQconninfoOption *options, const char *keyword)
{
	for (; options != NULL && options->keyword != NULL; options++)
		if (strcmp(options->keyword, keyword) == 0)
			return options;
	return NULL;
}

static bool
filled(const PQconninfoOption *option)
{
	return option != NULL && option->val != NULL && option->val[0] != '\0';
}

/* What somebody set: in the conninfo, the environment or a service file. */
static const char *
chosen(const PQconninfoOption *given, const PQconninfoOption *fallback,
    const char *keyword)
{
	const PQconninfoOption *option = find(given, keyword);
	if (filled(option))
		return option->val;
	option = find(fallback, keyword);
	if (!filled(option))
		return NULL;
	if (option->compiled != NULL &&
	    strcmp(option->val, option->compiled) == 0)
		return NULL;
	return option->val;
}

static void
set(struct pg_conninfo *info, const char *keyword, const char *value)
{
	info->keywords[info->count] = copy(keyword);
	info->values[info->count] = copy(value);
	info->count++;
}

static const char *
own_default(const char *keyword)
{
	for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
		if (strcmp(defaults[i].keyword, keyword) == 0)
			return defaults[i].value;
	return NULL;
}

static bool
is_of_host(const char *keyword)
{
	return strcmp(keyword, "host") == 0 ||
	       strcmp(keyword, "hostaddr") == 0 || strcmp(keyword, "port") == 0;
}

static void
set_options(struct pg_conninfo *info, const PQconninfoOption *given,
    const PQconninfoOption *fallback, const char *application_name)
{
	for (const PQconninfoOption *o = given; o->keyword != NULL; o++) {
		if (is_of_host(o->keyword))
			continue;
		const char *value = chosen(given, fallback, o->keyword);
		if (value == NULL &&
		    strcmp(o->keyword, "application_name") == 0)
			value = application_name;
		if (value == NULL)
			value = own_default(o->keyword);
		if (value == NULL && filled(find(fallback, o->keyword)))
			value = find(fallback, o->keyword)->val;
		if (value != NULL)
			set(info, o->keyword, value);
	}
}

static size_t
list_length(const char *list)
{
	size_t n = 1;
	if (list == NULL || list[0] == '\0')
		return 0;
	for (; *list != '\0'; list++)
		n += *list == ',';
	return n;
}

/* Item `index` of a list with commas; NULL when empty or not there. */
static char *
list_item(const char *list, size_t index)
{
	if (list == NULL)
		return NULL;
	for (; index > 0; index--) {
		list = strchr(list, ',');
		if (list == NULL)
			return NULL;
		list++;
	}
	size_t length = strcspn(list, ",");
	return length > 0 ? strndup(list, length) : NULL;
}

static bool
are_ports(const char *list)
{
	bool right = true;
	for (size_t i = 0; i < list_length(list) && right; i++) {
		char *item = list_item(list, i), *end = NULL;
		long port = item != NULL ? strtol(item, &end, 10) : 1;
		right = port >= 1 && port <= 65535 &&
			(item == NULL || *end == '\0');
		free(item);
	}
	return right;
}

static bool
set_hosts(struct pg_conninfo *info, const char *host, const char *hostaddr,
    const char *port, struct error *error)
{
	size_t hosts = list_length(host), addresses = list_length(hostaddr);
	size_t ports = list_length(port);
	size_t n = addresses > 0 ? addresses : hosts > 0 ? hosts : 1;
	if ((hosts > 0 && hosts != n) || (ports > 1 && ports != n)) {
		error_set(error,
		    "host, hostaddr and port name different numbers of "
		    "servers: %zu, %zu and %zu",
		    hosts, addresses, ports);
		return false;
	}
	if (!are_ports(port)) {
		error_set(error, "port '%.64s' is not from 1 to 65535", port);
		return false;
	}
	info->hosts = allocate(n, sizeof *info->hosts);
	info->host_count = n;
	for (size_t i = 0; i < n; i++) {
		info->hosts[i].host = list_item(host, i);
		info->hosts[i].hostaddr = list_item(hostaddr, i);
		info->hosts[i].port = list_item(port, ports == 1 ? 0 : i);
	}
	return true;
}

/* A writing session is asked for unless the operator says otherwise. */
static void
set_session(struct pg_conninfo *info, const char *attributes)
{
	if (attributes == NULL && info->host_count > 1)
		attributes = "read-write";
	if (attributes == NULL)
		return;
	info->any_session = strcmp(attributes, "read-write") != 0 &&
			    strcmp(attributes, "primary") != 0;
	for (size_t i = 0; i < info->count; i++)
		if (strcmp(info->keywords[i], "target_session_attrs") == 0) {
			free(info->values[i]);
			info->values[i] = copy(attributes);
			return;
		}
	set(info, "target_session_attrs", attributes);
}

/* libpq looks a service up only while it fills in defaults; one that is not
 * known is told when it connects. */
static PQconninfoOption *
fallbacks(const PQconninfoOption *given)
{
	const PQconninfoOption *service = find(given, "service");
	const char *before = getenv("PGSERVICE");
	char *restore = before != NULL ? copy(before) : NULL;
	if (filled(service))
		setenv("PGSERVICE", service->val, 1);
	PQconninfoOption *result = PQconndefaults();
	if (filled(service) && restore != NULL)
		setenv("PGSERVICE", restore, 1);
	else if (filled(service))
		unsetenv("PGSERVICE");
	free(restore);
	return result;
}

static bool
fill(struct pg_conninfo *info, const PQconninfoOption *given,
    const PQconninfoOption *fallback, const char *application_name,
    struct error *error)
{
	size_t room = 4 + 1; /* host, hostaddr, port, NULL; session attrs */
	for (const PQconninfoOption *o = given; o->keyword != NULL; o++)
		room++;
	info->keywords = allocate(room, sizeof *info->keywords);
	info->values = allocate(room, sizeof *info->values);
	set_options(info, given, fallback, application_name);
	const char *port = chosen(given, fallback, "port");
	if (!set_hosts(info, chosen(given, fallback, "host"),
		chosen(given, fallback, "hostaddr"), port, error))
		return false;
	set_session(info, chosen(given, fallback, "target_session_attrs"));
	const char *limit = chosen(given, fallback, "connect_timeout");
	long seconds = limit != NULL ? strtol(limit, NULL, 10) : 0;
	if (seconds > 0 && seconds < 3600)
		info->connect_timeout_ms = seconds * 1000;
	return true;
}

static void
set_parse_error(struct error *error, char *message)
{
	const char *text = message != NULL ? message : "out of memory";
	error_set(error, "%.*s", (int)strcspn(text, "\n"), text);
	PQfreemem(message);
}

struct pg_conninfo *
pg_conninfo_new(
    const char *text, const char *application_name, struct error *error)
{
	char *message = NULL;
	PQconninfoOption *given = PQconninfoParse(text, &message);
	if (given == NULL) {
		set_parse_error(error, message);
		return NULL;
	}
	PQconninfoOption *fallback = fallbacks(given);
	struct pg_conninfo *info = allocate(1, sizeof *info);
	if (!fill(info, given, fallback, application_name, error))
		info = pg_conninfo_free(info);
	PQconninfoFree(given);
	PQconninfoFree(fallback);
	return info;
}

/*
 * libpq judges values such as sslmode's only when it connects, and before it
 * looks for the server: so let it, with a socket that is not there. Of its
 * complaints those count that begin with a word no failed connection has.
 */
static bool
has_right_values(struct pg_conninfo *info, struct error *error)
{
	set(info, "host", "/nonexistent");
	set(info, "port", "1");
	set(info, "password", "x"); /* so that no file is read for one */
	PGconn *conn = PQconnectStartParams((const char *const *)info->keywords,
	    (const char *const *)info->values, 0);
	const char *message = conn != NULL ? PQerrorMessage(conn) : "";
	bool wrong = strncmp(message, "invalid ", 8) == 0;
	if (wrong)
		error_set(error, "%.*s", (int)strcspn(message, "\n"), message);
	PQfinish(conn);
	return !wrong;
}

bool
pg_conninfo_check(const char *text, struct error *error)
{
	struct pg_conninfo *info = pg_conninfo_new(text, "musterd", error);
	bool right = info != NULL && has_right_values(info, error);
	pg_conninfo_free(info);
	return right;
}

struct pg_conninfo *
pg_conninfo_free(struct pg_conninfo *info)
{
	if (info == NULL)
		return NULL;
	for (size_t i = 0; i < info->host_count; i++) {
		free(info->hosts[i].host);
		free(info->hosts[i].hostaddr);
		free(info->hosts[i].port);
	}
	for (size_t i = 0; i < info->count; i++) {
		free(info->keywords[i]);
		free(info->values[i]);
	}
	free(info->hosts);
	free(info->keywords);
	free(info->values);
	free(info);
	return NULL;
}
