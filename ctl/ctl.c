#include "ctl/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

static bool quiet;

void
ctl_set_quiet(bool now_quiet)
{
	quiet = now_quiet;
}

__attribute__((format(printf, 2, 0))) static void
print_error(const char *who, const char *format, va_list arguments)
{
	struct text line = TEXT_EMPTY;
	char *sentence = NULL;

	if (vasprintf(&sentence, format, arguments) < 0)
		abort();
	for (const char *at = sentence; *at != '\0';) {
		size_t length = strcspn(at, "\n");

		text_add_escaped(&line, at, length);
		at += length;
		if (*at == '\n' && *++at != '\0')
			text_add_char(&line, '\n');
	}
	fflush(stdout);
	fprintf(stderr, "%s: %s\n", who, text_string(&line));
	text_free(&line);
	free(sentence);
}

int
ctl_fail(int code, const char *format, ...)
{
	va_list arguments;

	if (quiet)
		return code;
	va_start(arguments, format);
	print_error("musterctl", format, arguments);
	va_end(arguments);
	return code;
}

int
ctl_usage(const struct ctl *ctl, const char *format, ...)
{
	char who[64];
	va_list arguments;

	snprintf(who, sizeof(who), "musterctl %s", ctl->verb->name);
	va_start(arguments, format);
	print_error(who, format, arguments);
	va_end(arguments);
	fprintf(stderr, "usage: musterctl %s%s%s%s (see --help)\n",
	    ctl->verb->name, ctl->verb->options != NULL ? " [OPTION…]" : "",
	    ctl->verb->usage[0] != '\0' ? " " : "", ctl->verb->usage);
	return CTL_USAGE;
}

const char *
ctl_option(const struct ctl *ctl, const char *name)
{
	return options_value(&ctl->options, name);
}

bool
ctl_json(const struct ctl *ctl)
{
	return ctl_option(ctl, "json") != NULL;
}

int64_t
ctl_limit_ms(const struct ctl *ctl, int64_t usual_ms)
{
	return ctl->limit_ms > 0 ? ctl->limit_ms : usual_ms;
}

const char *
ctl_argument(const struct ctl *ctl, int index)
{
	return index < ctl->options.argument_count
		   ? ctl->options.arguments[index]
		   : NULL;
}
