#include "daemon/handlers/http_head.h"

#include <string.h>
#include <strings.h>

enum { LENGTH_DIGITS = 18 };

void
http_head_free(struct http_head *head)
{
	text_free(&head->location);
	text_free(&head->retry_after);
	*head = (struct http_head){0};
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* "200 OK"; 0: no status. */
static long
status_of(const char *at, size_t length)
{
	if (length < 3 || at[0] == '0' || !is_digit(at[0]) ||
	    !is_digit(at[1]) || !is_digit(at[2]) ||
	    (length > 3 && at[3] != ' '))
		return 0;
	return (at[0] - '0') * 100 + (at[1] - '0') * 10 + at[2] - '0';
}

/* "HTTP/1.1 200 OK"; what stands for the version of others is not looked at. */
static void
take_status(struct http_head *head, const char *line, size_t length)
{
	const char *blank = memchr(line, ' ', length);
	size_t version = blank == NULL ? length : (size_t)(blank - line);
	struct http_head fresh = {.began = true,
	    .version = 20,
	    .location = head->location,
	    .retry_after = head->retry_after,
	    .bytes = head->bytes};

	text_clear(&fresh.location);
	text_clear(&fresh.retry_after);
	if (blank != NULL)
		fresh.status = status_of(blank + 1, length - version - 1);
	if (fresh.status == 0)
		fresh.wrong = "Weird server reply";
	if (version == 8 && memcmp(line, "HTTP/1.", 7) == 0 &&
	    (line[7] == '0' || line[7] == '1'))
		fresh.version = line[7] == '1' ? 11 : 10;
	*head = fresh;
}

static void
take_length(struct http_head *head, const char *value, size_t length)
{
	int64_t number = 0;
	size_t at;

	for (at = 0; at < length && is_digit(value[at]); at++)
		if (at < LENGTH_DIGITS)
			number = number * 10 + value[at] - '0';
	if (length == 0 || length > LENGTH_DIGITS || at < length ||
	    (head->has_length && head->length != number))
		head->wrong = "Invalid Content-Length";
	head->has_length = true;
	head->length = number;
}

/* Whether a list with commas names it. */
static bool
lists(const char *value, size_t length, const char *word)
{
	size_t size = strlen(word);

	while (length >= size) {
		const char *comma = memchr(value, ',', length);
		size_t part = comma == NULL ? length : (size_t)(comma - value);
		size_t end = part;

		while (end > 0 && is_blank(value[end - 1]))
			end--;
		if (end == size && strncasecmp(value, word, size) == 0)
			return true;
		if (comma == NULL)
			return false;
		value += part + 1;
		length -= part + 1;
		for (; length > 0 && is_blank(*value); length--)
			value++;
	}
	return false;
}

static bool
is_named(const char *line, size_t length, const char *name)
{
	return strlen(name) == length && strncasecmp(line, name, length) == 0;
}

static void
take_field(struct http_head *head, const char *name, size_t name_length,
    const char *value, size_t length)
{
	if (is_named(name, name_length, "Content-Length")) {
		take_length(head, value, length);
	} else if (is_named(name, name_length, "Transfer-Encoding")) {
		if (head->chunked || !is_named(value, length, "chunked"))
			head->wrong = "Transfer-Encoding is not chunked";
		head->chunked = true;
	} else if (is_named(name, name_length, "Connection")) {
		head->close = head->close || lists(value, length, "close");
		head->keep = head->keep || lists(value, length, "keep-alive");
	} else if (is_named(name, name_length, "Location")) {
		text_clear(&head->location);
		text_add(&head->location, value, length);
	} else if (is_named(name, name_length, "Retry-After")) {
		text_clear(&head->retry_after);
		text_add(&head->retry_after, value, length);
	}
}

/* Only one that is no answer yet is followed by another. */
static bool
awaits_status(const struct http_head *head)
{
	return !head->began || (head->ended && head->status < 200);
}

void
http_head_line(struct http_head *head, const char *line, size_t length)
{
	const char *colon, *value;

	head->bytes += length;
	while (length > 0 &&
	       (is_blank(line[length - 1]) || line[length - 1] == '\r' ||
		   line[length - 1] == '\n'))
		length--;
	if (awaits_status(head) && length >= 5 &&
	    memcmp(line, "HTTP/", 5) == 0) {
		take_status(head, line, length);
		return;
	}
	if (length == 0)
		head->ended = true;
	if (head->ended || strchr("clrtCLRT", line[0]) == NULL)
		return; /* none of those that count */
	colon = memchr(line, ':', length);
	if (colon == NULL)
		return;
	value = colon + 1;
	while (value < line + length && is_blank(*value))
		value++;
	take_field(head, line, (size_t)(colon - line), value,
	    (size_t)(line + length - value));
}
