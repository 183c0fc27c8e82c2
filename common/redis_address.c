#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "common/redis.h"

enum { DEFAULT_PORT = 6379 };

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A copy of `length` bytes with %xx resolved; NULL when one is broken. */
static char *
decode(const char *from, size_t length)
{
	char *result = malloc(length + 1), *to = result;
	if (result == NULL)
		abort();
	for (size_t i = 0; i < length; i++) {
		if (from[i] != '%') {
			*to++ = from[i];
			continue;
		}
		int high = i + 2 < length ? hex(from[i + 1]) : -1;
		int low = high >= 0 ? hex(from[i + 2]) : -1;
		if (low < 0 || (high == 0 && low == 0)) {
			free(result);
			return NULL;
		}
		*to++ = (char)(high << 4 | low);
		i += 2;
	}
	*to = '\0';
	return result;
}

/* A number up to `max` that fills the whole of [from, end); -1 otherwise. */
static int
number(const char *from, const char *end, int max)
{
	int result = 0;
	if (from == end)
		return -1;
	for (; from < end; from++) {
		if (*from < '0' || *from > '9')
			return -1;
		result = result * 10 + (*from - '0');
		if (result > max)
			return -1;
	}
	return result;
}

/* The parse_… functions give what is wrong, NULL when nothing is. */

static const char *
parse_login(struct redis_address *address, const char *from, const char *at)
{
	const char *colon = memchr(from, ':', (size_t)(at - from));
	const char *password = colon != NULL ? colon + 1 : from;
	bool named = colon != NULL && colon > from;
	address->password = decode(password, (size_t)(at - password));
	if (named)
		address->user = decode(from, (size_t)(colon - from));
	if (address->password == NULL || (named && address->user == NULL))
		return "a % before the @ is not followed by two hex digits";
	return NULL;
}

static const char *
parse_host(struct redis_address *address, const char *from, const char *end)
{
	const char *stop = from;
	if (*from == '[') {
		from++;
		stop = memchr(from, ']', (size_t)(end - from));
		if (stop == NULL)
			return "the ] after the host is missing";
		address->host = strndup(from, (size_t)(stop - from));
		stop++;
	} else {
		while (stop < end && *stop != ':')
			stop++;
		address->host = strndup(from, (size_t)(stop - from));
	}
	if (address->host == NULL)
		abort();
	if (address->host[0] == '\0')
		return "the host is missing";
	address->port = DEFAULT_PORT;
	if (stop < end && *stop == ':')
		address->port = number(stop + 1, end, 65535);
	else if (stop < end)
		return "something stands between the host and its port";
	return address->port > 0 ? NULL : "the port is not from 1 to 65535";
}

static const char *
parse_network(struct redis_address *address, const char *rest)
{
	const char *end = rest + strcspn(rest, "/");
	if (*end == '/' && end[1] != '\0')
		address->database = number(end + 1, end + strlen(end), 1 << 20);
	return parse_host(address, rest, end);
}

static const char *
parse_path(struct redis_address *address, const char *rest)
{
	const char *end = rest + strcspn(rest, "?");
	if (strncmp(end, "?db=", 4) == 0)
		address->database = number(end + 4, end + strlen(end), 1 << 20);
	else if (*end != '\0')
		return "only db= may follow the ?";
	address->path = decode(rest, (size_t)(end - rest));
	if (address->path == NULL)
		return "a % in the path is not followed by two hex digits";
	if (address->path[0] != '/' || address->path[1] == '\0')
		return "the path of the socket is not absolute";
	if (strlen(address->path) >=
	    sizeof(((struct sockaddr_un *)0)->sun_path))
		return "the path of the socket is too long";
	return NULL;
}

static const char *
parse(struct redis_address *address, const char *url)
{
	bool network = strncmp(url, "redis://", 8) == 0;
	if (strncmp(url, "rediss://", 9) == 0)
		return "rediss:// is not in this build";
	if (!network && strncmp(url, "unix://", 7) != 0)
		return "it begins with neither redis:// nor unix://";
	const char *rest = url + (network ? 8 : 7);
	const char *end = rest + strcspn(rest, "/?");
	const char *at = memrchr(rest, '@', (size_t)(end - rest));
	const char *wrong = NULL;
	if (at != NULL)
		wrong = parse_login(address, rest, at);
	if (at != NULL)
		rest = at + 1;
	if (wrong == NULL)
		wrong = network ? parse_network(address, rest)
				: parse_path(address, rest);
	if (wrong == NULL && address->database < 0)
		wrong = "the database is no number";
	return wrong;
}

int
redis_address_parse(
    const char *url, struct redis_address *ret_address, struct error *error)
{
	struct redis_address address = {0};
	const char *wrong = parse(&address, url);
	if (wrong != NULL) {
		redis_address_free(&address);
		error_set(error,
		    "not an address of Redis: %s; write unix:///path or "
		    "redis://host:port/database",
		    wrong);
		return -EINVAL;
	}
	*ret_address = address;
	return 0;
}

void
redis_address_free(struct redis_address *address)
{
	free(address->path);
	free(address->host);
	free(address->user);
	free(address->password);
	*address = (struct redis_address){0};
}

static char *
copy(const char *string)
{
	char *result = string != NULL ? strdup(string) : NULL;
	if (string != NULL && result == NULL)
		abort();
	return result;
}

void
redis_address_copy(
    const struct redis_address *address, struct redis_address *ret_copy)
{
	*ret_copy = (struct redis_address){
	    .path = copy(address->path),
	    .host = copy(address->host),
	    .port = address->port,
	    .database = address->database,
	    .user = copy(address->user),
	    .password = copy(address->password),
	};
}
