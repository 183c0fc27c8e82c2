/* Files that YAML is read from, and how a place in one is shown. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/yaml_tree.h"

enum { SHOWN = 72 }; /* columns of a line beside a caret */

void
yaml_report(const struct yaml_reporter *reporter,
    const struct yaml_source *source, int line, int column, const char *format,
    ...)
{
	struct error error;
	char text[sizeof(error.text)];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	error_set(&error, "%s", text);
	error_place(&error, source->name, line, column);
	reporter->report(source, &error, reporter->argument);
}

struct yaml_source *
yaml_source_new(const char *name, const char *text, size_t size)
{
	struct yaml_source *source = calloc(1, sizeof(*source));

	if (source == NULL)
		abort();
	source->name = strdup(name);
	source->text = malloc(size + 1);
	if (source->name == NULL || source->text == NULL)
		abort();
	memcpy(source->text, text, size);
	source->text[size] = '\0';
	source->size = size;
	return source;
}

struct yaml_source *
yaml_source_free(struct yaml_source *source)
{
	if (source == NULL)
		return NULL;
	free(source->name);
	free(source->text);
	free(source);
	return NULL;
}

/* Reads up to the limit and one byte more. */
static int
read_all(int fd, struct text *text)
{
	char buffer[16384];

	while (text->length <= YAML_SIZE_LIMIT) {
		ssize_t got = read(fd, buffer, sizeof(buffer));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : 0;
		text_add(text, buffer, (size_t)got);
	}
	return -EFBIG;
}

static int
read_file(const char *file, struct text *text)
{
	/* Without O_NONBLOCK a FIFO would be waited for. */
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;
	int rc;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) < 0)
		rc = -errno;
	else if (!S_ISREG(status.st_mode))
		rc = S_ISDIR(status.st_mode) ? -EISDIR : -ENODEV;
	else
		rc = read_all(fd, text);
	close(fd);
	return rc;
}

struct yaml_source *
yaml_source_read(const char *file, struct error *error)
{
	struct text text = TEXT_EMPTY;
	struct yaml_source *source = NULL;
	int rc = read_file(file, &text);

	if (rc == 0)
		source = yaml_source_new(file, text_string(&text), text.length);
	else if (rc == -EFBIG)
		error_set(error, "larger than 1 MB");
	else if (rc == -ENODEV)
		error_set(error, "not a regular file");
	else
		error_set(error, "cannot be read: %s", strerror(-rc));
	if (rc != 0)
		error_place(error, file, 0, 0);
	text_free(&text);
	return source;
}

static const char *
find_line(const struct yaml_source *source, int line, size_t *ret_length)
{
	const char *at = source->text, *end = at + source->size, *stop;

	if (line < 1)
		return NULL;
	for (; line > 1; line--) {
		at = memchr(at, '\n', (size_t)(end - at));
		if (at == NULL)
			return NULL;
		at++;
	}
	stop = memchr(at, '\n', (size_t)(end - at));
	*ret_length = (size_t)((stop == NULL ? end : stop) - at);
	return at;
}

void
yaml_line(const struct yaml_source *source, int line, struct text *ret_text)
{
	size_t length;
	const char *start = find_line(source, line, &length);

	if (start != NULL)
		text_add(ret_text, start, length);
}

/* The bytes of the first `columns` characters of a line. */
static size_t
bytes_of(const char *line, size_t length, int columns)
{
	size_t at = 0;

	while (at < length && columns-- > 0) {
		at++;
		while (at < length && ((unsigned char)line[at] & 0xc0) == 0x80)
			at++;
	}
	return at;
}

/* Foreign characters, escaped ones made as wide as one so that the caret
 * stands right. */
static void
add_shown(struct text *text, const char *bytes, size_t length)
{
	struct text shown = TEXT_EMPTY;

	while (length > 0) {
		size_t step = bytes_of(bytes, length, 1);

		text_clear(&shown);
		text_add_escaped(&shown, bytes, step);
		if (shown.length != step)
			text_add_char(text, strchr("\t\r", *bytes) ? ' ' : '?');
		else
			text_add(text, bytes, step);
		bytes += step;
		length -= step;
	}
	text_free(&shown);
}

void
yaml_caret(const struct yaml_source *source, int line, int column,
    struct text *ret_text)
{
	int skipped = column > SHOWN ? column - SHOWN / 2 : 0;
	const char *start;
	size_t length, from, to;

	start = find_line(source, line, &length);
	if (start == NULL)
		return;
	from = bytes_of(start, length, skipped);
	to = bytes_of(start, length, skipped + SHOWN);
	add_shown(ret_text, start + from, to - from);
	text_addf(ret_text, "\n%*s^", column - skipped - 1, "");
}
