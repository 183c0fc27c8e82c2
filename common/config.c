/* Configurations as structs: their parts, their end, their differences. */
#include "common/config.h"

#include <stdlib.h>
#include <string.h>

#include "common/config_table.h"

size_t
config_item_count(const struct config_key *key, const void *base)
{
	return *(const size_t *)((const char *)base + key->count_offset);
}

void *
config_item(const struct config_key *key, void *base, size_t i)
{
	char *items = *(void **)config_field(key, base);

	return items + i * key->section->size;
}

static const void *
item_const(const struct config_key *key, const void *base, size_t i)
{
	const char *items = *(void *const *)config_field_const(key, base);

	return items + i * key->section->size;
}

const char *
config_item_name(const void *item)
{
	return *(char *const *)item;
}

void *
config_item_add(const struct config_key *key, void *base, const char *name)
{
	void **items = config_field(key, base);
	size_t *count = (size_t *)(void *)((char *)base + key->count_offset);
	size_t size = key->section->size;
	char *item;

	*items = reallocarray(*items, *count + 1, size);
	if (*items == NULL)
		abort();
	item = (char *)*items + (*count)++ * size;
	memset(item, 0, size);
	*(char **)(void *)item = strdup(name);
	if (*(char **)(void *)item == NULL)
		abort();
	return item;
}

static void
free_list(char **list)
{
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		free(list[i]);
	free(list);
}

static void
free_named(const struct config_key *key, void *base)
{
	size_t count = config_item_count(key, base);

	for (size_t i = 0; i < count; i++) {
		void *item = config_item(key, base, i);

		config_section_free(key->section, item);
		free(*(char **)item);
	}
	free(*(void **)config_field(key, base));
}

void
config_section_free(const struct config_section *section, void *base)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct config_key *key = &section->keys[i];

		switch (key->type->storage) {
		case STORE_STRING:
			free(*config_string(key, base));
			break;
		case STORE_LIST:
		case STORE_ENVIRONMENT:
			free_list(*config_list(key, base));
			break;
		case STORE_SECTION:
		case STORE_INLINE:
			config_section_free(
			    key->section, config_field(key, base));
			break;
		case STORE_NAMED:
			free_named(key, base);
			break;
		default:
			break;
		}
	}
}

struct config *
config_free(struct config *config)
{
	if (config != NULL)
		config_section_free(&config_section_top, config);
	free(config);
	return NULL;
}

void
config_section_defaults(const struct config_section *section, void *base)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct config_key *key = &section->keys[i];
		struct error error;

		if (key->type->storage == STORE_SECTION)
			config_section_defaults(
			    key->section, config_field(key, base));
		else if (key->fallback != NULL &&
			 !config_value_set(
			     key, base, key->fallback, false, &error))
			abort(); /* the table contradicts itself */
	}
}

static bool
same_list(char *const *a, char *const *b)
{
	size_t i = 0;

	if (a == NULL || b == NULL)
		return a == b;
	while (a[i] != NULL && b[i] != NULL && strcmp(a[i], b[i]) == 0)
		i++;
	return a[i] == NULL && b[i] == NULL;
}

static bool
same_string(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_section(
    const struct config_section *section, const void *a, const void *b);

static bool
same_named(const struct config_key *key, const void *a, const void *b)
{
	size_t count = config_item_count(key, a);

	if (config_item_count(key, b) != count)
		return false;
	for (size_t i = 0; i < count; i++) {
		const void *left = item_const(key, a, i);
		const void *right = item_const(key, b, i);

		if (strcmp(config_item_name(left), config_item_name(right)) !=
			0 ||
		    !same_section(key->section, left, right))
			return false;
	}
	return true;
}

static bool
same_value(const struct config_key *key, const void *a, const void *b)
{
	const void *left = config_field_const(key, a);
	const void *right = config_field_const(key, b);

	switch (key->type->storage) {
	case STORE_STRING:
		return same_string(*(char *const *)left, *(char *const *)right);
	case STORE_LIST:
	case STORE_ENVIRONMENT:
		return same_list(
		    *(char *const *const *)left, *(char *const *const *)right);
	case STORE_SECTION:
	case STORE_INLINE:
		return same_section(key->section, left, right);
	case STORE_NAMED:
		return same_named(key, a, b);
	case STORE_NOTHING:
		return true;
	default:
		return config_number(key, a) == config_number(key, b);
	}
}

static bool
same_section(const struct config_section *section, const void *a, const void *b)
{
	for (size_t i = 0; i < section->count; i++)
		if (!same_value(&section->keys[i], a, b))
			return false;
	return true;
}

/* What files beside the configuration hold may have changed with them. */
static bool
names_files(const struct config *config)
{
	for (size_t i = 0; i < config->handler_count; i++) {
		const struct handler_config *handler = &config->handlers[i];
		char *const *header = handler->headers;

		if (handler->ca_file != NULL)
			return true;
		for (; header != NULL && *header != NULL; header++)
			if ((*header)[strcspn(*header, "=<")] == '<')
				return true;
	}
	return false;
}

enum config_change
config_compare(
    const struct config *old, const struct config *new, const char **ret_key)
{
	const struct config_section *top = &config_section_top;
	enum config_change strongest = CONFIG_SAME;

	*ret_key = NULL;
	for (size_t i = 0; i < top->count; i++) {
		const struct config_key *key = &top->keys[i];

		if (key->change <= strongest || same_value(key, old, new))
			continue;
		strongest = key->change;
		*ret_key = key->name;
	}
	if (strongest == CONFIG_SAME && names_files(new)) {
		strongest = CONFIG_IN_PLACE;
		*ret_key = "handlers";
	}
	return strongest;
}

/* Queues and handlers are sorted, and begin with their name. */
static int
compare_name(const void *name, const void *item)
{
	return strcmp(name, config_item_name(item));
}

const struct queue_config *
config_queue(const struct config *config, const char *name)
{
	return bsearch(name, config->queues, config->queue_count,
	    sizeof(config->queues[0]), compare_name);
}

const struct handler_config *
config_handler(const struct config *config, const char *kind)
{
	if (config->handler_count == 0)
		return NULL;
	return bsearch(kind, config->handlers, config->handler_count,
	    sizeof(config->handlers[0]), compare_name);
}
