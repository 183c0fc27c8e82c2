/*
 * Writes musterd.yaml(5) from its frame and the table of keys:
 *   manual_keys musterd.yaml.5.in >musterd.yaml.5
 * A line "@KEYS@" or "@MESSAGES@" of the frame is replaced.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config_table.h"

static const char *const messages[LOG_KINDS] = {
    [LOG_STARTED] = "the daemon is ready",
    [LOG_STOPPED] = "the daemon has ended its drain",
    [LOG_RELOADED] = "a new configuration is in force",
    [LOG_RELOAD_REFUSED] = "a new configuration is wrong, the old one kept",
    [LOG_CHILD_DIED] = "a worker or the scheduler ended unexpectedly",
    [LOG_CHILD_HUNG] = "the watchdog ended a worker or the scheduler",
    [LOG_TASK_FAILED] = "an attempt or a task failed",
    [LOG_TASK_RESCUED] = "the tasks of a dead worker were handed back",
    [LOG_TASK_CANCELLED] = "a task was cancelled, as asked",
    [LOG_HANDLER_OUTPUT] = "a line that a handler wrote to standard error",
    [LOG_DATABASE_LOST] = "the connection to PostgreSQL was lost",
    [LOG_DATABASE_BACK] = "PostgreSQL is back",
    [LOG_REDIS_LOST] = "the connection to Redis was lost",
    [LOG_REDIS_BACK] = "Redis is back",
    [LOG_UNRECORDED] = "finished tasks that PostgreSQL could not be told of",
};

/* Text for roff: no escapes, no requests, plain minus signs. */
static void
print_text(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\\')
			fputs("\\e", stdout);
		else if (*text == '-')
			fputs("\\-", stdout);
		else
			putchar(*text);
	}
}

static const char *
change_words(enum config_change change)
{
	if (change == CONFIG_RESTART)
		return "Takes a restart.";
	if (change == CONFIG_NEW_WORKERS)
		return "A reload replaces the workers.";
	return NULL;
}

/* Whether its range is more than a list of words that the type names. */
static bool
has_range(const struct config_key *key)
{
	return key->type == &config_type_duration ||
	       key->type == &config_type_size ||
	       key->type == &config_type_integer ||
	       key->type == &config_type_decimal ||
	       key->type == &config_type_workers;
}

static void
print_form(const struct config_key *key)
{
	struct text range = TEXT_EMPTY;

	if (key->type == &config_type_text)
		return;
	printf("Written as ");
	print_text(key->type->wanted);
	if (has_range(key)) {
		key->type->format(key->min, &range);
		text_add_string(&range, " to ");
		key->type->format(key->max, &range);
		printf(" (");
		print_text(text_string(&range));
		putchar(')');
	}
	printf(".\n");
	text_free(&range);
}

/* ".TP", the key, then its sentences. */
static void
print_key(const struct config_key *key, bool top)
{
	const char *change = top ? change_words(key->change) : NULL;

	printf(".TP\n.B %s\n", key->name);
	print_text(key->help);
	putchar('\n');
	print_form(key);
	if (key->fallback != NULL) {
		printf("Default: ");
		print_text(key->fallback);
		printf(".\n");
	}
	if (change != NULL)
		printf("%s\n", change);
}

static void
print_later(const struct config_section *section)
{
	const char *before = ".P\nNot in this build: ";

	for (size_t i = 0; i < section->count; i++) {
		if (section->keys[i].type->storage != STORE_NOTHING)
			continue;
		printf("%s%s", before, section->keys[i].name);
		before = ", ";
	}
	if (before[0] == ',')
		printf(".\n");
}

static void
print_section(const struct config_section *section, const char *path)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct config_key *key = &section->keys[i];

		if (key->type->storage == STORE_INLINE)
			printf(".TP\n.BR timeout \", \" grace \", \" "
			       "max_attempts \", \" backoff\n"
			       "As in defaults, for tasks of this kind.\n");
		else if (key->type->storage != STORE_NOTHING)
			print_key(key, path[0] == '\0');
	}
	print_later(section);
	for (size_t i = 0; i < section->count; i++) {
		const struct config_key *key = &section->keys[i];
		bool named = key->type->storage == STORE_NAMED;
		struct text below = TEXT_EMPTY;

		if (!named && key->type->storage != STORE_SECTION)
			continue;
		text_addf(
		    &below, "%s%s%s", path, key->name, named ? ".NAME." : ".");
		printf(".SS Keys of %.*s\n", (int)below.length - 1,
		    text_string(&below));
		print_section(key->section, text_string(&below));
		text_free(&below);
	}
}

static void
print_messages(void)
{
	for (int i = LOG_PLAIN + 1; i < LOG_KINDS; i++) {
		printf(".TP\n.B %s\n", log_kind_id((enum log_kind)i));
		print_text(messages[i]);
		printf("\n");
	}
}

int
main(int argc, char **argv)
{
	FILE *frame = argc == 2 ? fopen(argv[1], "r") : NULL;
	char line[512];

	if (frame == NULL)
		return EXIT_FAILURE;
	while (fgets(line, sizeof(line), frame) != NULL) {
		if (strcmp(line, "@KEYS@\n") == 0)
			print_section(&config_section_top, "");
		else if (strcmp(line, "@MESSAGES@\n") == 0)
			print_messages();
		else
			fputs(line, stdout);
	}
	fclose(frame);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
