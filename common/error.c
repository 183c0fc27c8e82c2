#include "common/error.h"

#include <stdarg.h>
#include <stdio.h>

void
error_set(struct error *error, const char *format, ...)
{
	va_list arguments;

	error->file[0] = '\0';
	error->line = error->column = 0;
	va_start(arguments, format);
	vsnprintf(error->text, sizeof(error->text), format, arguments);
	va_end(arguments);
}

void
error_place(struct error *error, const char *file, int line, int column)
{
	snprintf(error->file, sizeof(error->file), "%s", file);
	error->line = line;
	error->column = column;
}

const char *
error_format(const struct error *error, char *buffer, unsigned long size)
{
	if (error->file[0] == '\0')
		snprintf(buffer, size, "%s", error->text);
	else if (error->line == 0)
		snprintf(buffer, size, "%s: %s", error->file, error->text);
	else
		snprintf(buffer, size, "%s:%d:%d: %s", error->file, error->line,
		    error->column, error->text);
	return buffer;
}
