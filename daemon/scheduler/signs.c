#include "daemon/scheduler/signs.h"

#include <stdio.h>
#include <stdlib.h>

/* A key that was set again ends later by more than the clocks' jitter. */
enum { KEY_JITTER_MS = 200, PTTL_NO_KEY = -2 };

static struct sign *
find(const struct signs *signs, int64_t worker)
{
	for (size_t i = 0; i < signs->count; i++)
		if (signs->items[i].worker == worker)
			return &signs->items[i];
	return NULL;
}

static struct sign *
add(struct signs *signs, int64_t worker, struct mono now)
{
	signs->items =
	    reallocarray(signs->items, signs->count + 1, sizeof *signs->items);
	if (signs->items == NULL)
		abort();
	struct sign *sign = &signs->items[signs->count++];
	*sign = (struct sign){
	    .worker = worker, .beats = -1, .changed = now, .key_end = now};
	return sign;
}

void
signs_free(struct signs *signs)
{
	free(signs->items);
	*signs = (struct signs){0};
}

void
signs_restart(struct signs *signs, struct mono now)
{
	for (size_t i = 0; i < signs->count; i++)
		signs->items[i].changed = now;
	signs->looked = signs->since = now;
}

void
signs_begin(struct signs *signs, struct mono now)
{
	if (mono_ms_between(signs->looked, now) > SIGNS_GAP_MS)
		signs_restart(signs, now);
	for (size_t i = 0; i < signs->count; i++)
		signs->items[i].seen = false;
}

void
signs_saw(struct signs *signs, int64_t worker, int64_t beats, int backend_pid,
    bool locked, const char *name, struct mono now)
{
	struct sign *sign = find(signs, worker);
	if (sign == NULL)
		sign = add(signs, worker, now);
	if (sign->beats != beats)
		sign->changed = now;
	sign->beats = beats;
	sign->backend_pid = backend_pid;
	sign->locked = locked;
	sign->seen = true;
	snprintf(sign->name, sizeof sign->name, "%s", name);
}

void
signs_end(struct signs *signs, struct mono now)
{
	size_t kept = 0;
	for (size_t i = 0; i < signs->count; i++)
		if (signs->items[i].seen)
			signs->items[kept++] = signs->items[i];
	signs->count = kept;
	signs->looked = now;
}

void
signs_key(struct signs *signs, int64_t worker, int64_t ttl_ms, struct mono now)
{
	struct sign *sign = find(signs, worker);
	if (sign == NULL)
		return;
	sign->key_gone = sign->key_seen && ttl_ms == PTTL_NO_KEY;
	if (ttl_ms < 0)
		return;
	sign->key_seen = true;
	struct mono end = mono_add_ms(now, ttl_ms);
	if (mono_ms_between(sign->key_end, end) <= KEY_JITTER_MS)
		return;
	sign->key_end = end;
	sign->changed = now;
}

void
signs_keys_lost(struct signs *signs)
{
	for (size_t i = 0; i < signs->count; i++)
		signs->items[i].key_seen = signs->items[i].key_gone = false;
}

const struct sign *
signs_silent(const struct signs *signs, size_t *at, struct mono now)
{
	while (*at < signs->count) {
		const struct sign *sign = &signs->items[(*at)++];
		if (mono_ms_between(sign->changed, now) >= SIGNS_LIMIT_MS)
			return sign;
	}
	return NULL;
}

const struct sign *
signs_suspect(const struct signs *signs, size_t *at, struct mono now)
{
	if (mono_ms_between(signs->since, now) < SIGNS_LIMIT_MS)
		return NULL;
	while (*at < signs->count) {
		const struct sign *sign = &signs->items[(*at)++];
		int64_t quiet_ms = mono_ms_between(sign->changed, now);
		if (sign->locked && sign->key_gone &&
		    quiet_ms >= SIGNS_SUSPECT_MS && quiet_ms < SIGNS_LIMIT_MS)
			return sign;
	}
	return NULL;
}
