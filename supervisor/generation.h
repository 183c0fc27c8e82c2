/*
 * One configuration in force: what was checked, as a struct for the
 * supervisor and as a sealed memfd for its children. Immutable; freed when
 * nobody uses it any more.
 */
#ifndef SUPERVISOR_GENERATION_H
#define SUPERVISOR_GENERATION_H

#include <stdint.h>
#include <sys/types.h>

#include "common/config.h"
#include "common/text.h"

struct generation {
	uint64_t number;
	struct config *config; /* owned */
	int fd;		       /* the blob; owned */
	int64_t loaded_us;     /* wall clock */
	gid_t admin_group;     /* (gid_t)-1: none */
	int users;
};

/* Takes over `config`. NULL with errno set when there is no memory. */
struct generation *generation_new(
    uint64_t number, struct config *config, const struct text *blob);

/* One more user, one less; both take NULL. */
struct generation *generation_use(struct generation *generation);
struct generation *generation_drop(struct generation *generation); /* NULL */

#endif
