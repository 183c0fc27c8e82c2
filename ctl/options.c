#include "ctl/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct option *
find_long(const struct options *options, const char *name, size_t length)
{
	for (size_t i = 0; i < 2; i++) {
		const struct option *option = options->lists[i];

		for (; option != NULL && option->name != NULL; option++)
			if (strlen(option->name) == length &&
			    memcmp(option->name, name, length) == 0)
				return option;
	}
	return NULL;
}

static const struct option *
find_letter(const struct options *options, char letter)
{
	for (size_t i = 0; i < 2; i++) {
		const struct option *option = options->lists[i];

		for (; option != NULL && option->name != NULL; option++)
			if (option->letter != '\0' && option->letter == letter)
				return option;
	}
	return NULL;
}

static int
add(struct options *options, const struct option *option, const char *value,
    struct error *error)
{
	if (options->count == OPTIONS_MOST) {
		error_set(error, "too many options");
		return -EINVAL;
	}
	options->given[options->count] = option;
	options->values[options->count] = value;
	options->count++;
	return 0;
}

/* What stands in argv[*at], an option that takes its value from there or from
 * the word after it. */
static int
take(struct options *options, const struct option *option, const char *joined,
    int argc, char *const *argv, int *at, struct error *error)
{
	if (option->argument == NULL && joined != NULL) {
		error_set(error, "--%s takes no value", option->name);
		return -EINVAL;
	}
	if (option->argument == NULL)
		return add(options, option, "", error);
	if (joined != NULL)
		return add(options, option, joined, error);
	if (*at + 1 >= argc) {
		error_set(error, "--%s needs a value (%s)", option->name,
		    option->argument);
		return -EINVAL;
	}
	return add(options, option, argv[++*at], error);
}

static int
take_long(struct options *options, int argc, char *const *argv, int *at,
    struct error *error)
{
	const char *name = argv[*at] + 2;
	const char *equals = strchr(name, '=');
	size_t length = equals != NULL ? (size_t)(equals - name) : strlen(name);
	const struct option *option = find_long(options, name, length);

	if (option == NULL) {
		error_set(error, "unknown option --%.*s", (int)length, name);
		return -EINVAL;
	}
	return take(options, option, equals != NULL ? equals + 1 : NULL, argc,
	    argv, at, error);
}

static int
take_short(struct options *options, int argc, char *const *argv, int *at,
    struct error *error)
{
	const char *letters = argv[*at] + 1;

	for (; *letters != '\0'; letters++) {
		const struct option *option = find_letter(options, *letters);
		const char *rest = letters[1] != '\0' ? letters + 1 : NULL;

		if (option == NULL) {
			error_set(error, "unknown option -%c", *letters);
			return -EINVAL;
		}
		if (option->argument != NULL)
			return take(
			    options, option, rest, argc, argv, at, error);
		if (add(options, option, "", error) < 0)
			return -EINVAL;
	}
	return 0;
}

int
options_parse(
    struct options *options, int argc, char *const *argv, struct error *error)
{
	bool words_only = false;
	int result = 0;

	options->arguments = calloc((size_t)argc + 1, sizeof(char *));
	if (options->arguments == NULL)
		abort();
	for (int at = 0; at < argc && result == 0; at++) {
		const char *word = argv[at];

		if (words_only || word[0] != '-' || word[1] == '\0')
			options->arguments[options->argument_count++] = word;
		else if (strcmp(word, "--") == 0)
			words_only = true;
		else if (word[1] == '-')
			result = take_long(options, argc, argv, &at, error);
		else
			result = take_short(options, argc, argv, &at, error);
	}
	return result;
}

/* Whether the value of the option in `word` is the word after it. */
static bool
value_follows(const struct options *options, const char *word)
{
	const struct option *option;

	if (word[1] == '-')
		option = strchr(word, '=') != NULL
			     ? NULL
			     : find_long(options, word + 2, strlen(word + 2));
	else
		option = word[2] != '\0' ? NULL : find_letter(options, word[1]);
	return option != NULL && option->argument != NULL;
}

int
options_first_word(const struct options *options, int argc, char *const *argv)
{
	int at = 0;

	while (at < argc && argv[at][0] == '-' && argv[at][1] != '\0')
		at += value_follows(options, argv[at]) ? 2 : 1;
	return at < argc ? at : argc;
}

void
options_free(struct options *options)
{
	free(options->arguments);
	options->arguments = NULL;
	options->argument_count = 0;
}

const char *
options_value(const struct options *options, const char *name)
{
	for (int i = options->count - 1; i >= 0; i--)
		if (strcmp(options->given[i]->name, name) == 0)
			return options->values[i];
	return NULL;
}
