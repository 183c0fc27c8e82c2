#include "ctl/help.h"

#include <string.h>

#include "ctl/ctl.h"

static void
print_option(FILE *out, const struct option *option)
{
	char left[64];
	int length;

	length = snprintf(left, sizeof(left), "%s%c%s--%s%s%s",
	    option->letter != '\0' ? "-" : "  ",
	    option->letter != '\0' ? option->letter : ' ',
	    option->letter != '\0' ? ", " : " ", option->name,
	    option->argument != NULL ? " " : "",
	    option->argument != NULL ? option->argument : "");
	if (length > 27)
		fprintf(out, "  %s\n  %-27s %s\n", left, "", option->help);
	else
		fprintf(out, "  %-27s %s\n", left, option->help);
}

static void
print_options(FILE *out, const char *title, const struct option *options)
{
	if (options == NULL || options->name == NULL)
		return;
	fprintf(out, "\n%s\n", title);
	for (; options->name != NULL; options++)
		print_option(out, options);
}

/* Lines of "command  # what it does", the remarks under each other. */
static void
print_examples(FILE *out, const char *examples)
{
	fputs("\nExamples\n", out);
	while (*examples != '\0') {
		size_t length = strcspn(examples, "\n");

		fprintf(out, "  %.*s\n", (int)length, examples);
		examples += length + (examples[length] == '\n');
	}
}

void
help_verb(FILE *out, const struct verb *verb)
{
	fprintf(out, "musterctl %s%s%s%s\n\n%s\n", verb->name,
	    verb->options != NULL ? " [OPTION…]" : "",
	    verb->usage[0] != '\0' ? " " : "", verb->usage, verb->help);
	print_options(out, "Options", verb->options);
	print_options(out, "Options of every verb", global_options);
	print_examples(out, verb->examples);
}

void
help_all(FILE *out)
{
	fputs("musterctl [-c FILE] VERB [ARGUMENT…]\n\n"
	      "Looks into musterd and steers it.\n\nVerbs\n",
	    out);
	for (const struct verb *verb = verbs; verb->name != NULL; verb++)
		fprintf(out, "  %-12s %s\n", verb->name, verb->help);
	print_options(out, "Options of every verb", global_options);
	fputs("      --version               print the version and end\n"
	      "\nExit codes: 0 done, 1 failed, 2 usage, 75 a server is away "
	      "(try again),\n78 configuration or schema, 130 interrupted.\n"
	      "musterctl VERB --help shows a verb's options and examples.\n",
	    out);
}
