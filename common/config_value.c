/* Single values: in and out of the structs, by the table. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/config_table.h"

double
config_number(const struct config_key *key, const void *base)
{
	const void *field = config_field_const(key, base);

	switch (key->type->storage) {
	case STORE_INT:
		return *(const int *)field;
	case STORE_INT64:
		return (double)*(const int64_t *)field;
	case STORE_BOOL:
		return *(const bool *)field;
	case STORE_DOUBLE:
		return *(const double *)field;
	default:
		abort();
	}
}

void
config_number_set(const struct config_key *key, void *base, double number)
{
	void *field = config_field(key, base);

	switch (key->type->storage) {
	case STORE_INT:
		*(int *)field = (int)number;
		break;
	case STORE_INT64:
		*(int64_t *)field = (int64_t)number;
		break;
	case STORE_BOOL:
		*(bool *)field = number != 0;
		break;
	case STORE_DOUBLE:
		*(double *)field = number;
		break;
	default:
		abort();
	}
}

char **
config_string(const struct config_key *key, void *base)
{
	return config_field(key, base);
}

char ***
config_list(const struct config_key *key, void *base)
{
	return config_field(key, base);
}

bool
config_is_set(const struct config_key *key, const void *base)
{
	switch (key->type->storage) {
	case STORE_STRING:
	case STORE_LIST:
	case STORE_ENVIRONMENT:
		return *(void *const *)config_field_const(key, base) != NULL;
	case STORE_INT:
	case STORE_INT64:
	case STORE_BOOL:
	case STORE_DOUBLE:
		return config_number(key, base) >= key->min;
	default:
		return key->type->storage != STORE_NOTHING;
	}
}

static bool
set_text(const struct config_key *key, void *base, const char *value,
    struct error *error)
{
	char **field = config_string(key, base);
	size_t length = strlen(value);

	if (length < (size_t)key->min) {
		error_set(error, "must not be empty");
		return false;
	}
	if (length > (size_t)key->max) {
		error_set(error, "longer than %.0f bytes", key->max);
		return false;
	}
	if (key->check != NULL && !key->check(value, error))
		return false;
	free(*field);
	*field = strdup(value);
	if (*field == NULL)
		abort();
	return true;
}

static void
say_range(const struct config_key *key, const char *value, struct error *error)
{
	struct text range = TEXT_EMPTY;

	key->type->format(key->min, &range);
	text_add_string(&range, " to ");
	key->type->format(key->max, &range);
	error_set(
	    error, "%.64s is out of range, %s", value, text_string(&range));
	text_free(&range);
}

static bool
set_number(const struct config_key *key, void *base, const char *value,
    struct error *error)
{
	double number;
	int rc = key->type->read(value, &number);

	if (rc == 0 && (number < key->min || number > key->max))
		rc = -ERANGE;
	if (rc == 0)
		config_number_set(key, base, number);
	else if (rc == -ERANGE)
		say_range(key, value, error);
	else
		error_set(error, "'%.64s' is not %s", value, key->type->wanted);
	return rc == 0;
}

/* In quotes these are words; "30s" and "info" mean the same either way. */
static bool
is_bare(const char *value)
{
	return value[strspn(value, "+-.0123456789")] == '\0' ||
	       strcmp(value, "true") == 0 || strcmp(value, "false") == 0;
}

bool
config_value_set(const struct config_key *key, void *base, const char *value,
    bool quoted, struct error *error)
{
	if (key->type->read == NULL)
		return set_text(key, base, value, error);
	if (quoted && is_bare(value)) {
		error_set(error, "a quoted text is not %s", key->type->wanted);
		return false;
	}
	return set_number(key, base, value, error);
}
