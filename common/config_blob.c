/*
 * The blob: all values in the order of the table, in the machine's own layout,
 * behind a header with the table's fingerprint, so that only a binary of the
 * same build reads it.
 */
#include <stdlib.h>
#include <string.h>

#include "common/config_table.h"

struct header {
	char magic[8];
	uint64_t fingerprint;
	uint64_t size; /* of what follows */
};

static const char magic[8] = "muster\1";

/* What is left to decode; `failed` once something did not fit. */
struct cursor {
	const char *at, *end;
	bool failed;
};

static void
fingerprint_add(uint64_t *hash, const struct config_section *section)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct config_key *key = &section->keys[i];
		const char *name = key->name == NULL ? "" : key->name;

		for (; *name != '\0'; name++) /* FNV-1a */
			*hash = (*hash ^ (unsigned char)*name) * 0x100000001b3u;
		*hash = (*hash ^ key->type->storage) * 0x100000001b3u;
		if (key->section != NULL)
			fingerprint_add(hash, key->section);
	}
}

static uint64_t
fingerprint(void)
{
	uint64_t hash = 0xcbf29ce484222325u;

	fingerprint_add(&hash, &config_section_top);
	return hash;
}

static void
put_count(struct text *blob, uint32_t count)
{
	text_add(blob, &count, sizeof(count));
}

static void
put_string(struct text *blob, const char *string)
{
	uint32_t length =
	    string == NULL ? UINT32_MAX : (uint32_t)strlen(string);

	put_count(blob, length);
	if (string != NULL)
		text_add(blob, string, length);
}

static void
put_list(struct text *blob, char *const *list)
{
	uint32_t count = 0;

	while (list != NULL && list[count] != NULL)
		count++;
	put_count(blob, count);
	for (uint32_t i = 0; i < count; i++)
		put_string(blob, list[i]);
}

static void
put_number(struct text *blob, double number)
{
	text_add(blob, &number, sizeof(number));
}

static void put_section(
    struct text *blob, const struct config_section *section, void *base);

static void
put_named(struct text *blob, const struct config_key *key, void *base)
{
	size_t count = config_item_count(key, base);

	put_count(blob, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		void *item = config_item(key, base, i);

		put_string(blob, config_item_name(item));
		put_section(blob, key->section, item);
	}
}

static void
put_section(struct text *blob, const struct config_section *section, void *base)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct config_key *key = &section->keys[i];

		switch (key->type->storage) {
		case STORE_STRING:
			put_string(blob, *config_string(key, base));
			break;
		case STORE_LIST:
		case STORE_ENVIRONMENT:
			put_list(blob, *config_list(key, base));
			break;
		case STORE_SECTION:
		case STORE_INLINE:
			put_section(
			    blob, key->section, config_field(key, base));
			break;
		case STORE_NAMED:
			put_named(blob, key, base);
			break;
		case STORE_NOTHING:
			break;
		default:
			put_number(blob, config_number(key, base));
		}
	}
}

void
config_encode(const struct config *config, struct text *ret_blob)
{
	struct header header = {.fingerprint = fingerprint()};
	struct text body = TEXT_EMPTY;
	struct config copy = *config; /* the walk takes no const */

	put_section(&body, &config_section_top, &copy);
	memcpy(header.magic, magic, sizeof(magic));
	header.size = body.length;
	text_add(ret_blob, &header, sizeof(header));
	text_add(ret_blob, body.data, body.length);
	text_free(&body);
}

static void
get(struct cursor *cursor, void *into, size_t size)
{
	if (cursor->failed || (size_t)(cursor->end - cursor->at) < size) {
		cursor->failed = true;
		memset(into, 0, size);
		return;
	}
	memcpy(into, cursor->at, size);
	cursor->at += size;
}

/* A count of things that take at least four bytes each. */
static uint32_t
get_count(struct cursor *cursor)
{
	uint32_t count;

	get(cursor, &count, sizeof(count));
	if (count > (size_t)(cursor->end - cursor->at) / sizeof(count))
		cursor->failed = true;
	return cursor->failed ? 0 : count;
}

static char *
get_string(struct cursor *cursor)
{
	uint32_t length;
	char *string;

	get(cursor, &length, sizeof(length));
	if (length == UINT32_MAX)
		return NULL;
	if (length > (size_t)(cursor->end - cursor->at))
		cursor->failed = true;
	if (cursor->failed)
		return NULL;
	string = strndup(cursor->at, length);
	if (string == NULL)
		abort();
	cursor->at += length;
	return string;
}

static char **
get_list(struct cursor *cursor)
{
	uint32_t count = get_count(cursor);
	char **list;

	if (count == 0)
		return NULL;
	list = calloc((size_t)count + 1, sizeof(*list));
	if (list == NULL)
		abort();
	for (uint32_t i = 0; i < count && !cursor->failed; i++) {
		list[i] = get_string(cursor);
		if (list[i] == NULL)
			cursor->failed = true;
	}
	return list;
}

static void get_section(
    struct cursor *cursor, const struct config_section *section, void *base);

static void
get_named(struct cursor *cursor, const struct config_key *key, void *base)
{
	uint32_t count = get_count(cursor);

	for (uint32_t i = 0; i < count && !cursor->failed; i++) {
		char *name = get_string(cursor);

		if (name == NULL)
			cursor->failed = true;
		else
			get_section(cursor, key->section,
			    config_item_add(key, base, name));
		free(name);
	}
}

/* Numbers were checked before they were encoded; what is not a number at all
 * must not reach a conversion. */
static void
get_number(struct cursor *cursor, const struct config_key *key, void *base)
{
	double number;

	get(cursor, &number, sizeof(number));
	if (!(number >= (key->min < -1 ? key->min : -1) && number <= 0x1p53) ||
	    (key->type->storage == STORE_INT && number > INT32_MAX))
		cursor->failed = true;
	else
		config_number_set(key, base, number);
}

static void
get_section(
    struct cursor *cursor, const struct config_section *section, void *base)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct config_key *key = &section->keys[i];

		switch (key->type->storage) {
		case STORE_STRING:
			*config_string(key, base) = get_string(cursor);
			break;
		case STORE_LIST:
		case STORE_ENVIRONMENT:
			*config_list(key, base) = get_list(cursor);
			break;
		case STORE_SECTION:
		case STORE_INLINE:
			get_section(
			    cursor, key->section, config_field(key, base));
			break;
		case STORE_NAMED:
			get_named(cursor, key, base);
			break;
		case STORE_NOTHING:
			break;
		default:
			get_number(cursor, key, base);
		}
	}
}

static bool
is_whole(const struct config *config, const struct cursor *cursor)
{
	return !cursor->failed && cursor->at == cursor->end &&
	       config->database != NULL && config->cluster != NULL &&
	       config->runtime_dir != NULL && config->workers > 0 &&
	       config->queue_count > 0;
}

struct config *
config_decode(const void *blob, size_t size, struct error *error)
{
	struct cursor cursor = {blob, (const char *)blob + size, false};
	struct config *config;
	struct header header;

	get(&cursor, &header, sizeof(header));
	if (cursor.failed || memcmp(header.magic, magic, sizeof(magic)) != 0 ||
	    header.fingerprint != fingerprint() ||
	    header.size != (size_t)(cursor.end - cursor.at)) {
		error_set(error,
		    "not a configuration blob of this version of musterd");
		return NULL;
	}
	config = calloc(1, sizeof(*config));
	if (config == NULL)
		abort();
	get_section(&cursor, &config_section_top, config);
	if (is_whole(config, &cursor))
		return config;
	error_set(error, "damaged configuration blob");
	return config_free(config);
}
