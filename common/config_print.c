/* The configuration as YAML. */
#include <string.h>

#include "common/config_table.h"

/* Whether a text reads as itself without quotes, wherever it stands. */
static bool
is_plain(const char *value)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_-./=+:@";
	size_t length = strlen(value);

	return length > 0 && strspn(value, safe) == length &&
	       strchr("-.=+:@", value[0]) == NULL && value[length - 1] != ':';
}

/* A double-quoted YAML text is written like one of JSON. */
static void
print_text(const char *value, struct text *ret_text)
{
	struct text hidden = TEXT_EMPTY, clean = TEXT_EMPTY;

	config_hide_password(value, &hidden);
	text_add_utf8(
	    &clean, text_string(&hidden), hidden.length, SIZE_MAX / 2);
	if (is_plain(text_string(&clean)))
		text_add_string(ret_text, text_string(&clean));
	else
		text_add_json_string(
		    ret_text, text_string(&clean), clean.length);
	text_free(&clean);
	text_free(&hidden);
}

static void
print_list(char *const *list, struct text *ret_text)
{
	text_add_char(ret_text, '[');
	for (size_t i = 0; list[i] != NULL; i++) {
		if (i > 0)
			text_add_string(ret_text, ", ");
		print_text(list[i], ret_text);
	}
	text_add_string(ret_text, "]\n");
}

static void
print_environment(char *const *list, int depth, struct text *ret_text)
{
	text_add_char(ret_text, '\n');
	for (size_t i = 0; list[i] != NULL; i++) {
		int length = (int)strcspn(list[i], "=<");
		const char *value = list[i] + length + 1;
		bool secret = config_names_secret(list[i], (size_t)length);

		text_addf(
		    ret_text, "%*s%.*s: ", 2 * depth + 2, "", length, list[i]);
		if (list[i][length] == '<') {
			text_add_string(ret_text, "{file: ");
			print_text(value, ret_text);
			text_add_char(ret_text, '}');
		} else {
			print_text(secret ? "***" : value, ret_text);
		}
		text_add_char(ret_text, '\n');
	}
}

static void print_section(const struct config_section *section, void *base,
    int depth, struct text *ret_text);

static void
print_named(
    const struct config_key *key, void *base, int depth, struct text *ret_text)
{
	size_t count = config_item_count(key, base);

	text_add_string(ret_text, count == 0 ? " {}\n" : "\n");
	for (size_t i = 0; i < count; i++) {
		void *item = config_item(key, base, i);

		text_addf(ret_text, "%*s", 2 * depth + 2, "");
		print_text(config_item_name(item), ret_text);
		text_add_string(ret_text, ":\n");
		print_section(key->section, item, depth + 2, ret_text);
	}
}

static void
print_value(
    const struct config_key *key, void *base, int depth, struct text *ret_text)
{
	text_addf(ret_text, "%*s%s:", 2 * depth, "", key->name);
	if (key->type->storage == STORE_SECTION) {
		text_add_char(ret_text, '\n');
		print_section(
		    key->section, config_field(key, base), depth + 1, ret_text);
	} else if (key->type->storage == STORE_NAMED) {
		print_named(key, base, depth, ret_text);
	} else if (key->type->storage == STORE_ENVIRONMENT) {
		print_environment(*config_list(key, base), depth, ret_text);
	} else {
		text_add_char(ret_text, ' ');
		if (key->type->storage == STORE_LIST) {
			print_list(*config_list(key, base), ret_text);
			return;
		}
		if (key->type == &config_type_json) /* which is YAML, too */
			text_add_string(ret_text, *config_string(key, base));
		else if (key->type->storage == STORE_STRING)
			print_text(*config_string(key, base), ret_text);
		else
			key->type->format(config_number(key, base), ret_text);
		text_add_char(ret_text, '\n');
	}
}

/* Whether anything of it would be printed. */
static bool
is_worth_printing(const struct config_key *key, void *base)
{
	if (key->type->storage != STORE_SECTION)
		return config_is_set(key, base);
	for (size_t i = 0; i < key->section->count; i++)
		if (is_worth_printing(
			&key->section->keys[i], config_field(key, base)))
			return true;
	return false;
}

static void
print_section(const struct config_section *section, void *base, int depth,
    struct text *ret_text)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct config_key *key = &section->keys[i];

		if (key->type->storage == STORE_INLINE)
			print_section(key->section, config_field(key, base),
			    depth, ret_text);
		else if (is_worth_printing(key, base))
			print_value(key, base, depth, ret_text);
	}
}

void
config_print(const struct config *config, struct text *ret_text)
{
	struct config copy = *config; /* the walk takes no const */

	print_section(&config_section_top, &copy, 0, ret_text);
}
