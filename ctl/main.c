/* musterctl: the command line of musterd. */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/help.h"
#include "ctl/interrupt.h"
#include "ctl/session.h"
#include "common/config.h"
#include "common/duration.h"

#include "config.h"

static int
call(struct ctl *ctl)
{
	int count = ctl->options.argument_count;
	const char *limit = ctl_option(ctl, "time-limit");

	if (ctl_option(ctl, "help") != NULL) {
		help_verb(stdout, ctl->verb);
		return CTL_DONE;
	}
	if (limit != NULL &&
	    (duration_parse(limit, &ctl->limit_ms) < 0 || ctl->limit_ms == 0))
		return ctl_usage(
		    ctl, "--time-limit '%s' is no duration", limit);
	if (count < ctl->verb->least)
		return ctl_usage(ctl, "an argument is missing");
	if (ctl->verb->most >= 0 && count > ctl->verb->most)
		return ctl_usage(ctl, "unexpected argument '%s'",
		    ctl->options.arguments[ctl->verb->most]);
	return ctl->verb->run(ctl);
}

/* What was said before the verb and after it, in one list of words. */
static int
parse_and_call(const struct verb *verb, int argc, char **words)
{
	struct ctl ctl = {
	    .verb = verb,
	    .options = {.lists = {verb->options, global_options}},
	};
	struct error error;
	int code;

	if (options_parse(&ctl.options, argc, words, &error) < 0)
		code = ctl_usage(&ctl, "%s", error.text);
	else
		code = call(&ctl);
	session_disconnect(&ctl);
	ctl.config = config_free(ctl.config);
	options_free(&ctl.options);
	return code;
}

static int
without_verb(int argc, char **words)
{
	for (int i = 0; i < argc; i++) {
		if (strcmp(words[i], "--help") == 0 ||
		    strcmp(words[i], "-h") == 0) {
			help_all(stdout);
			return CTL_DONE;
		}
		if (strcmp(words[i], "--version") == 0) {
			puts("musterctl " PACKAGE_VERSION);
			return CTL_DONE;
		}
	}
	help_all(stderr);
	return CTL_USAGE;
}

static int
unknown_verb(const char *name)
{
	const struct verb *nearest = verb_nearest(name);

	if (nearest != NULL)
		return ctl_fail(CTL_USAGE,
		    "unknown verb '%s', did you mean %s?", name, nearest->name);
	return ctl_fail(
	    CTL_USAGE, "unknown verb '%s', see musterctl --help", name);
}

static int
dispatch(int argc, char **argv)
{
	struct options global = {.lists = {NULL, global_options}};
	int at = options_first_word(&global, argc, argv);
	const struct verb *verb;

	if (at == argc)
		return without_verb(argc, argv);
	verb = verb_find(argv[at]);
	if (verb == NULL)
		return unknown_verb(argv[at]);
	memmove(
	    argv + at, argv + at + 1, (size_t)(argc - at - 1) * sizeof(char *));
	return parse_and_call(verb, argc - 1, argv);
}

int
main(int argc, char **argv)
{
	int code;

	setlocale(LC_CTYPE, "C.UTF-8");
	interrupt_install();
	code = dispatch(argc - 1, argv + 1);
	if (fflush(stdout) != 0 || ferror(stdout))
		return ctl_fail(
		    CTL_FAILED, "cannot write: %s", strerror(errno));
	return code;
}
