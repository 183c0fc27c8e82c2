#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

static bool
parse_login(struct redis_address *address, const char *from, const char *at)
{
	const char *colon = memchr(from, ':', (size_t)(at - from));
	const char *password = colon != NULL ? colon + 1 : from;
	address->password = decode(password, (size_t)(at - password));
	if (colon != NULL && colon > from)
		address->user = decode(from, (size_t)(colon - from));
	return address->password != NULL &&
	       (colon == NULL || colon == from || address->user != NULL);
}

static bool
parse_host(struct redis_address *address, const char *from, const char *end)
{
	const char *stop = from;
	if (*from == '[') {
		from++;
		stop = memchr(from, ']', (size_t)(end - from));
		if (stop == NULL)
			return false;
		address->host = strndup(from, (size_t)(stop - from));
		stop++;
	} else {
		while (stop < end && *stop != ':')
			stop++;
		address->host = strndup(from, (size_t)(stop - from));
	}
	address->port = DEFAULT_PORT;
	if (stop < end && *stop != ':')
		return false;
	if (stop < end)
		address->port = number(stop + 1, end, 65535);
	return address->host != NULL && address->host[0] != '\0' &&
	       address->port > 0;
}

static bool
parse_network(struct redis_address *address, const char *rest)
{
	const char *end = rest + strcspn(rest, "/");
	if (*end == '/' && end[1] != '\0')
		address->database = number(end + 1, end + strlen(end), 1 << 20);
	return address->database >= 0 && parse_host(address, rest, end);
}

static bool
parse_path(struct redis_address *address, const char *rest)
{
	const char *end = rest + strcspn(rest, "?");
	if (strncmp(end, "?db=", 4) == 0)
		address->database = number(end + 4, end + strlen(end), 1 << 20);
	else if (*end != '\0')
		return false;
	address->path = decode(rest, (size_t)(end - rest));
	return address->database >= 0 && address->path != NULL &&
	       address->path[0] == '/' && address->path[1] != '\0';
}

static bool
parse(struct redis_address *address, const char *url)
{
	bool network = strncmp(url, "redis://", 8) == 0;
	if (!network && strncmp(url, "unix://", 7) != 0)
		return false;
	const char *rest = url + (network ? 8 : 7);
	const char *end = rest + strcspn(rest, "/?");
	const char *at = memrchr(rest, '@', (size_t)(end - rest));
	if (at != NULL && !parse_login(address, rest, at))
		return false;
	if (at != NULL)
		rest = at + 1;
	return network ? parse_network(address, rest)
		       : parse_path(address, rest);
}

int
redis_address_parse(
    const char *url, struct redis_address *ret_address, struct error *error)
{
	struct redis_address address = {0};
	if (!parse(&address, url)) {
		redis_address_free(&address);
		error_set(error, "not an address of Redis; write "
				 "unix:///path or redis://host:port/database");
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
