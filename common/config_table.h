/*
 * The one table of configuration keys. Reading, defaults, printing, comparing,
 * the blob and the manual all walk it. Private to the config_*.c files.
 */
#ifndef COMMON_CONFIG_TABLE_H
#define COMMON_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/config.h"
#include "common/error.h"
#include "common/text.h"

/* How a value lies in its struct. */
enum config_storage {
	STORE_INT,
	STORE_INT64,
	STORE_DOUBLE,
	STORE_BOOL,
	STORE_STRING,	   /* char *, owned; NULL: none */
	STORE_LIST,	   /* char **, owned, NULL at the end; NULL: none */
	STORE_ENVIRONMENT, /* the same, of "NAME=value"; a map in YAML */
	STORE_SECTION,	   /* a struct inside, with keys of its own */
	STORE_INLINE,	   /* the same, its keys stand among their parent's */
	STORE_NAMED,	   /* an array of structs, a map by name in YAML */
	STORE_NOTHING,	   /* of a later build */
};

struct config_key;

/*
 * How a scalar is written. Numbers of any unit are read and written as
 * doubles, which hold what the ranges allow exactly; `read` gives 0, -EINVAL
 * or -ERANGE. Both are NULL for text, which may be quoted; numbers may not.
 */
struct config_type {
	enum config_storage storage;
	const char *wanted; /* "a duration such as 30s" */
	int (*read)(const char *value, double *ret_number);
	void (*format)(double number, struct text *ret_text);
};

extern const struct config_type config_type_duration, config_type_size,
    config_type_integer, config_type_mode, config_type_decimal,
    config_type_boolean, config_type_workers, config_type_level,
    config_type_log_format, config_type_noop, config_type_text,
    config_type_list, config_type_environment, config_type_headers,
    config_type_rate, config_type_flag, config_type_section, config_type_inline,
    config_type_named, config_type_missed, config_type_overlap,
    config_type_json, config_type_later;

enum { CONFIG_WORKERS_LIMIT = 256 };

struct config_section {
	const struct config_key *keys;
	size_t count;
	size_t size;	    /* of its struct */
	const char *scalar; /* the key that a single value in place of the
			       map stands for; NULL: none */
};

struct config_key {
	const char *name;
	const struct config_type *type;
	size_t offset;
	double min, max;      /* numbers; a text's length */
	const char *fallback; /* as it would be written; NULL: none */
	enum config_change change;
	const struct config_section *section; /* of sections and named */
	size_t count_offset; /* named: of the size_t beside the pointer */
	/* More than the range, of a text or a list's first item. */
	bool (*check)(const char *value, struct error *error);
	const char *help; /* for the manual: a sentence or two */
};

extern const struct config_section config_section_top;
extern const struct config_section config_section_limits,
    config_section_processes, config_section_recycle,
    config_section_sql_connections, config_section_schedule,
    config_section_trigger, config_section_rate, config_section_queue,
    config_section_handler;

static inline void *
config_field(const struct config_key *key, void *base)
{
	return (char *)base + key->offset;
}

static inline const void *
config_field_const(const struct config_key *key, const void *base)
{
	return (const char *)base + key->offset;
}

/* Number `i` of a named array: its key's section says how large one is. */
void *config_item(const struct config_key *key, void *base, size_t i);
size_t config_item_count(const struct config_key *key, const void *base);
/* Adds one, all zero but its name; the place may move the others. */
void *config_item_add(
    const struct config_key *key, void *base, const char *name);
/* The name of a named item is its first field. */
const char *config_item_name(const void *item);

/* The value of a number's key, whatever its storage. */
double config_number(const struct config_key *key, const void *base);
void config_number_set(const struct config_key *key, void *base, double number);

/* The string of a text's key, the list of a list's or environment's. */
char **config_string(const struct config_key *key, void *base);
char ***config_list(const struct config_key *key, void *base);

/* Whether it has a value: a string or list, a number that is in range. */
bool config_is_set(const struct config_key *key, const void *base);

/* Reads and checks a scalar as written, and stores it. False with `error`
 * filled (no place) when it is not of the type, or out of range. */
bool config_value_set(const struct config_key *key, void *base,
    const char *value, bool quoted, struct error *error);

/* Frees what the fields of a section own. */
void config_section_free(const struct config_section *section, void *base);

/* Sets each key that has a default. */
void config_section_defaults(const struct config_section *section, void *base);

/* Whether a name (of a variable) or a line says that its value is secret. */
bool config_names_secret(const char *bytes, size_t length);

#endif
