#include "daemon/handlers/http_headers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	SECRET_BYTES = 8192,
	MASK_BYTES = 4, /* shorter ones would be found everywhere */
};

struct header {
	struct curl_slist node; /* its text is owned */
	size_t secret;		/* where the secret starts in it; 0: none */
};

struct http_headers {
	const struct handler_config *config;
	struct header *items; /* as many as are configured */
	size_t count;	      /* how many have been made */
};

struct http_headers *
http_headers_new(const struct handler_config *config)
{
	struct http_headers *headers = calloc(1, sizeof(*headers));
	size_t count = 0;

	while (config->headers != NULL && config->headers[count] != NULL)
		count++;
	if (headers == NULL)
		abort();
	headers->config = config;
	headers->items = calloc(count + 1, sizeof(headers->items[0]));
	if (headers->items == NULL)
		abort();
	return headers;
}

struct http_headers *
http_headers_free(struct http_headers *headers)
{
	if (headers == NULL)
		return NULL;
	for (size_t i = 0; i < headers->count; i++) {
		char *line = headers->items[i].node.data;

		explicit_bzero(line, strlen(line));
		free(line);
	}
	free(headers->items);
	free(headers);
	return NULL;
}

/* What is wrong with a secret; NULL: nothing. Cuts line ends off. */
static const char *
judge(char *bytes, size_t length)
{
	while (length > 0 && strchr("\r\n", bytes[length - 1]) != NULL)
		length--;
	bytes[length] = '\0';
	if (length == 0)
		return "is empty";
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)bytes[i] < ' ' || bytes[i] == '\177')
			return "holds more than one line of text";
	return NULL;
}

/* Of a regular file only: nothing else is sure to answer at once. */
static const char *
read_secret(const char *path, char bytes[SECRET_BYTES + 1])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	const char *why = NULL;
	struct stat status;
	ssize_t length = 0;

	if (fd < 0)
		return strerror(errno);
	if (fstat(fd, &status) < 0)
		why = strerror(errno);
	else if (!S_ISREG(status.st_mode))
		why = "is not a file";
	else if (status.st_size > SECRET_BYTES)
		why = "is too large for a header";
	else if ((length = read(fd, bytes, SECRET_BYTES)) < 0)
		why = strerror(errno);
	close(fd);
	return why != NULL ? why : judge(bytes, (size_t)length);
}

/* "Name: value"; "Name;" is how libcurl is told of an empty one. */
static void
make_line(struct header *header, const char *name, size_t name_length,
    const char *value, bool secret)
{
	struct text line = TEXT_EMPTY;

	text_add(&line, name, name_length);
	text_add_string(&line, value[0] == '\0' ? ";" : ": ");
	if (secret)
		header->secret = line.length;
	text_add_string(&line, value);
	header->node.data = text_steal(&line);
}

static bool
read_one(
    struct http_headers *headers, const char *configured, struct error *error)
{
	size_t name = strcspn(configured, "=<");
	bool secret = configured[name] == '<';
	const char *value = configured + name + 1, *why = NULL;
	struct header *header = &headers->items[headers->count];
	char bytes[SECRET_BYTES + 1];

	if (secret)
		why = read_secret(value, bytes);
	if (why != NULL)
		error_set(error, "header %.*s: %.512s: %s", (int)name,
		    configured, value, why);
	else
		make_line(
		    header, configured, name, secret ? bytes : value, secret);
	if (secret)
		explicit_bzero(bytes, sizeof(bytes));
	if (why != NULL)
		return false;
	if (headers->count > 0)
		header[-1].node.next = &header->node;
	headers->count++;
	return true;
}

bool
http_headers_read(struct http_headers *headers, struct error *error)
{
	char *const *configured = headers->config->headers;

	while (configured != NULL && configured[headers->count] != NULL)
		if (!read_one(headers, configured[headers->count], error))
			return false;
	return true;
}

struct curl_slist *
http_headers_lines(const struct http_headers *headers)
{
	return headers->count == 0 ? NULL : &headers->items[0].node;
}

static size_t
name_length(const struct header *header)
{
	return strcspn(header->node.data, ":;");
}

bool
http_headers_name(const struct http_headers *headers, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < headers->count; i++)
		if (name_length(&headers->items[i]) == length &&
		    strncasecmp(headers->items[i].node.data, name, length) == 0)
			return true;
	return false;
}

void
http_headers_add(const struct http_headers *headers, struct text *text)
{
	for (size_t i = 0; i < headers->count; i++) {
		const char *line = headers->items[i].node.data;
		size_t name = name_length(&headers->items[i]);

		text_add(text, line, name);
		text_add_string(text, line[name] == ';' ? ":" : line + name);
		text_add_string(text, "\r\n");
	}
}

/* The length of a secret that stands at the start of the bytes; 0: none. */
static size_t
secret_at(const struct http_headers *headers, const char *bytes, size_t length)
{
	for (size_t i = 0; i < headers->count; i++) {
		const struct header *header = &headers->items[i];
		const char *value = header->node.data + header->secret;
		const char *blank = strrchr(value, ' ');
		size_t size;

		if (header->secret == 0)
			continue;
		size = strlen(value);
		if (size >= MASK_BYTES && size <= length &&
		    memcmp(bytes, value, size) == 0)
			return size;
		/* Of "Bearer abc" the second word alone, too. */
		size = blank == NULL ? 0 : strlen(blank + 1);
		if (size >= MASK_BYTES && size <= length &&
		    memcmp(bytes, blank + 1, size) == 0)
			return size;
	}
	return 0;
}

void
http_headers_mask(const struct http_headers *headers, const char *bytes,
    size_t length, struct text *ret_text)
{
	while (length > 0) {
		size_t size = secret_at(headers, bytes, length);

		if (size > 0)
			text_add_string(ret_text, "***");
		else
			text_add(ret_text, bytes, size = 1);
		bytes += size;
		length -= size;
	}
}
