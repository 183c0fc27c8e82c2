/* Maps of YAML into the structs of sections, by the table. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config_load.h"
#include "common/config_rules.h"
#include "common/yaml_json.h"

#define VARIABLE "${CREDENTIALS_DIRECTORY}"
#define UNITS_FOLDER SYSCONFDIR "/musterd"

const struct config_key *
config_find_key(const struct config_section *section, const char *name,
    void *base, void **ret_base)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct config_key *key = &section->keys[i];

		if (key->type->storage == STORE_INLINE) {
			const struct config_key *inner =
			    config_find_key(key->section, name,
				config_field(key, base), ret_base);

			if (inner != NULL)
				return inner;
		} else if (strcmp(key->name, name) == 0) {
			*ret_base = base;
			return key;
		}
	}
	return NULL;
}

/* Adds what the variable stands for. A unit's own file may be read outside it,
 * where only systemd's place for its credentials tells. */
static bool
add_credentials(struct config_loader *loader, const struct config_key *key,
    const struct yaml_node *node, struct text *ret_text)
{
	const char *told = getenv("CREDENTIALS_DIRECTORY");
	struct text folder = TEXT_EMPTY;
	bool found;

	if (told != NULL) {
		text_add_string(ret_text, told);
		return true;
	}
	text_add_string(&folder, "/run/credentials/");
	found = config_unit_of(loader->file, UNITS_FOLDER, &folder);
	if (!found)
		config_complain(loader, node,
		    "%s: " VARIABLE " is not set; the service has it with "
		    "LoadCredential=, elsewhere name the folder in the "
		    "environment",
		    key->name);
	else if (access(text_string(&folder), X_OK) < 0) {
		config_complain(loader, node,
		    "%s: " VARIABLE " is not set, and %s: %s; it is there for "
		    "root while the service runs with LoadCredential=, "
		    "elsewhere name the folder in the environment",
		    key->name, text_string(&folder), strerror(errno));
		found = false;
	}
	if (found)
		text_add_string(ret_text, text_string(&folder));
	text_free(&folder);
	return found;
}

/* Replaces the variable; false when it is needed and not known. */
static bool
expand(struct config_loader *loader, const struct config_key *key,
    const struct yaml_node *node, struct text *ret_text)
{
	const char *at = node->value, *found;

	while ((found = strstr(at, VARIABLE)) != NULL) {
		text_add(ret_text, at, (size_t)(found - at));
		if (!add_credentials(loader, key, node, ret_text))
			return false;
		at = found + strlen(VARIABLE);
	}
	text_add_string(ret_text, at);
	return true;
}

/* Whether a node is of the shape that a key wants; complains if not. */
static bool
has_shape(struct config_loader *loader, const struct config_key *key,
    const struct yaml_node *node, enum yaml_shape shape)
{
	if (node->shape == shape)
		return true;
	if (node->shape != YAML_BROKEN)
		config_complain(
		    loader, node, "%s: not %s", node->key, key->type->wanted);
	return false;
}

static void
read_scalar(struct config_loader *loader, const struct config_key *key,
    void *base, const struct yaml_node *node)
{
	struct text value = TEXT_EMPTY;
	struct error error;

	if (yaml_is_empty(node))
		config_complain_key(
		    loader, node, "%s: has no value", key->name);
	else if (expand(loader, key, node, &value) &&
		 !config_value_set(
		     key, base, text_string(&value), node->quoted, &error))
		config_complain(loader, node, "%s: %s", key->name, error.text);
	text_free(&value);
}

/* Appends to a list of strings that ends with NULL. */
static void
push(char ***list, size_t count, struct text *item)
{
	*list = reallocarray(*list, count + 2, sizeof(**list));
	if (*list == NULL)
		abort();
	(*list)[count] = text_steal(item);
	(*list)[count + 1] = NULL;
}

static void
clear(char ***list)
{
	for (size_t i = 0; *list != NULL && (*list)[i] != NULL; i++)
		free((*list)[i]);
	free(*list);
	*list = NULL;
}

/* Appends one item's text; false when it has none. */
static bool
add_item(struct config_loader *loader, const struct config_key *key,
    const struct yaml_node *item, struct text *ret_text)
{
	if (item->shape == YAML_BROKEN)
		return false;
	if (item->shape != YAML_SCALAR || yaml_is_empty(item)) {
		config_complain(
		    loader, item, "%s: an item that is not a text", key->name);
		return false;
	}
	return expand(loader, key, item, ret_text);
}

static bool
has_size(struct config_loader *loader, const struct config_key *key,
    const struct yaml_node *node)
{
	if (node->count < (size_t)key->min)
		config_complain(loader, node, "%s: is empty", key->name);
	else if (node->count > (size_t)key->max)
		config_complain(loader, node, "%s: more than %.0f items",
		    key->name, key->max);
	else
		return true;
	return false;
}

static void
read_list(struct config_loader *loader, const struct config_key *key,
    void *base, const struct yaml_node *node)
{
	char ***list = config_list(key, base);
	struct error error;

	if (!has_size(loader, key, node))
		return;
	clear(list);
	for (size_t i = 0, count = 0; i < node->count; i++) {
		struct text value = TEXT_EMPTY;

		if (!add_item(loader, key, node->items[i], &value)) {
			text_free(&value);
			continue;
		}
		if (i == 0 && !key->check(text_string(&value), &error))
			config_complain(loader, node->items[i], "%s: %s",
			    key->name, error.text);
		push(list, count++, &value);
	}
}

/* Sets NAME=value or NAME<file where the name stands, else at the end. */
static void
set_variable(char ***list, size_t name_length, struct text *item)
{
	size_t i = 0;

	while (*list != NULL && (*list)[i] != NULL &&
	       (strncmp((*list)[i], text_string(item), name_length) != 0 ||
		   strchr("=<", (*list)[i][name_length]) == NULL))
		i++;
	if (*list == NULL || (*list)[i] == NULL) {
		push(list, i, item);
		return;
	}
	free((*list)[i]);
	(*list)[i] = text_steal(item);
}

/* Of {file: /path}: appends "<" and the path. */
static bool
add_file(struct config_loader *loader, const struct config_key *key,
    const struct yaml_node *item, struct text *ret_text)
{
	const struct yaml_node *file = yaml_member(item, "file");
	size_t start = ret_text->length + 1;
	struct error error;

	if (file == NULL || item->count != 1) {
		config_complain(
		    loader, item, "%s: not a text or {file: /path}", key->name);
		return false;
	}
	text_add_char(ret_text, '<');
	if (!add_item(loader, key, file, ret_text))
		return false;
	if (config_is_absolute(text_string(ret_text) + start, &error))
		return true;
	config_complain(loader, file, "%s: %s", key->name, error.text);
	return false;
}

/* Appends "=" and the text, or where the key allows it what add_file does. */
static bool
add_value(struct config_loader *loader, const struct config_key *key,
    const struct yaml_node *item, struct text *ret_text)
{
	bool header = key->type == &config_type_headers;
	size_t start = ret_text->length + 1;
	struct error error;

	if (header && item->shape == YAML_MAP)
		return add_file(loader, key, item, ret_text);
	text_add_char(ret_text, '=');
	if (!add_item(loader, key, item, ret_text))
		return false;
	if (!header ||
	    config_is_header_text(text_string(ret_text) + start, &error))
		return true;
	config_complain(loader, item, "%s: %s", key->name, error.text);
	return false;
}

/* A map of texts, which may be empty ones: merged like all maps. */
static void
read_environment(struct config_loader *loader, const struct config_key *key,
    void *base, const struct yaml_node *node)
{
	char ***list = config_list(key, base);

	if (!has_size(loader, key, node))
		return;
	for (size_t i = 0; i < node->count; i++) {
		const struct yaml_node *item = node->items[i];
		struct text value = TEXT_EMPTY;
		struct error error;

		text_add_string(&value, item->key);
		if (!key->check(item->key, &error))
			config_complain_key(
			    loader, item, "%s: %s", key->name, error.text);
		else if (add_value(loader, key, item, &value))
			set_variable(list, strlen(item->key), &value);
		text_free(&value);
	}
}

static void
remember(struct config_loader *loader, const struct config_key *key,
    const struct yaml_node *node, size_t errors_before)
{
	struct config_place place = {key, strdup(node->key), node,
	    node->shape == YAML_BROKEN ||
		loader->collector.count > errors_before};

	loader->places = reallocarray(
	    loader->places, loader->place_count + 1, sizeof(loader->places[0]));
	if (loader->places == NULL || place.name == NULL)
		abort();
	loader->places[loader->place_count++] = place;
}

/* -1 in a number says "not given". */
static void
unset(const struct config_section *section, void *base)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct config_key *key = &section->keys[i];

		switch (key->type->storage) {
		case STORE_INT:
		case STORE_INT64:
		case STORE_DOUBLE:
			config_number_set(key, base, -1);
			break;
		case STORE_SECTION:
		case STORE_INLINE:
			unset(key->section, config_field(key, base));
			break;
		default:
			break;
		}
	}
}

/* The item of that name, made if need be. */
static void *
item_of(const struct config_key *key, void *base, const char *name)
{
	size_t count = config_item_count(key, base);
	void *item;

	for (size_t i = 0; i < count; i++) {
		item = config_item(key, base, i);
		if (strcmp(config_item_name(item), name) == 0)
			return item;
	}
	item = config_item_add(key, base, name);
	unset(key->section, item);
	config_section_defaults(key->section, item);
	return item;
}

static void
read_named(struct config_loader *loader, const struct config_key *key,
    void *base, const struct yaml_node *node)
{
	if (!has_size(loader, key, node))
		return;
	for (size_t i = 0; i < node->count; i++) {
		const struct yaml_node *item = node->items[i];
		size_t before;
		struct error error;

		if (!key->check(item->key, &error)) {
			config_complain_key(loader, item, "%s", error.text);
			continue;
		}
		before = loader->collector.count;
		if (item->shape == YAML_MAP || yaml_is_empty(item))
			config_read_section(loader, key->section,
			    item_of(key, base, item->key), item);
		else if (item->shape != YAML_BROKEN)
			config_complain(loader, item,
			    "%s: not a map of keys and values", item->key);
		remember(loader, key, item, before);
	}
}

/* A single value in place of a map; false: the section has no such form. */
static bool
read_shorthand(struct config_loader *loader, const struct config_key *key,
    void *base, const struct yaml_node *node)
{
	const struct config_section *section = key->section;
	void *inner = config_field(key, base);
	struct config_key meant;

	if (key->type->storage != STORE_SECTION || section->scalar == NULL ||
	    node->shape != YAML_SCALAR)
		return false;
	meant = *config_find_key(section, section->scalar, inner, &inner);
	meant.name = key->name;
	read_scalar(loader, &meant, inner, node);
	return true;
}

/* Whatever stands there; it replaces what an earlier file said. */
static void
read_json(struct config_loader *loader, const struct config_key *key,
    void *base, const struct yaml_node *node)
{
	char **field = config_string(key, base);
	struct text json = TEXT_EMPTY;

	yaml_json(node, &json);
	if (yaml_is_empty(node)) {
		config_complain_key(
		    loader, node, "%s: has no value", key->name);
	} else if (json.length > (size_t)key->max) {
		config_complain(loader, node, "%s: longer than %.0f bytes",
		    key->name, key->max);
	} else {
		free(*field);
		*field = text_steal(&json);
	}
	text_free(&json);
}

static void
read_value(struct config_loader *loader, const struct config_key *key,
    void *base, const struct yaml_node *node)
{
	enum config_storage storage = key->type->storage;
	bool list = storage == STORE_LIST;
	bool map = storage == STORE_SECTION || storage == STORE_NAMED ||
		   storage == STORE_ENVIRONMENT;

	if (key->type == &config_type_json) {
		read_json(loader, key, base, node);
		return;
	}
	/* A map whose members are all commented out is an empty one. */
	if (map && yaml_is_empty(node))
		return;
	if (read_shorthand(loader, key, base, node))
		return;
	if (!has_shape(loader, key, node,
		map    ? YAML_MAP
		: list ? YAML_LIST
		       : YAML_SCALAR))
		return;
	if (storage == STORE_SECTION)
		config_read_section(
		    loader, key->section, config_field(key, base), node);
	else if (storage == STORE_NAMED)
		read_named(loader, key, base, node);
	else if (storage == STORE_ENVIRONMENT)
		read_environment(loader, key, base, node);
	else if (list)
		read_list(loader, key, base, node);
	else
		read_scalar(loader, key, base, node);
}

static void
complain_unknown(struct config_loader *loader,
    const struct config_section *section, const struct yaml_node *node)
{
	const char *near = config_nearest_key(section, node->key);

	if (near == NULL)
		config_complain_key(
		    loader, node, "unknown key '%.64s'", node->key);
	else
		config_complain_key(loader, node,
		    "unknown key '%.64s', did you mean '%s'?", node->key, near);
}

void
config_read_section(struct config_loader *loader,
    const struct config_section *section, void *base,
    const struct yaml_node *map)
{
	for (size_t i = 0; i < map->count; i++) {
		const struct yaml_node *node = map->items[i];
		void *inner = NULL;
		const struct config_key *key =
		    config_find_key(section, node->key, base, &inner);

		if (key == NULL)
			complain_unknown(loader, section, node);
		else if (key->type->storage == STORE_NOTHING)
			config_complain_key(
			    loader, node, "%s: not in this build", key->name);
		else
			read_value(loader, key, inner, node);
	}
}
