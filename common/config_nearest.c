/* Which known key someone may have meant. */
#include "common/config_load.h"
#include "common/nearest.h"

static void
look(const struct config_section *section, struct nearest *nearest)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct config_key *key = &section->keys[i];

		if (key->type->storage == STORE_INLINE)
			look(key->section, nearest);
		else
			nearest_offer(nearest, key->name);
	}
}

const char *
config_nearest_key(const struct config_section *section, const char *name)
{
	struct nearest nearest = nearest_start(name);

	look(section, &nearest);
	return nearest.word;
}
