#include "common/scoreboard.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"

enum {
	SCOREBOARD_MAGIC = 0x6d736272, /* "msbr" */
	SCOREBOARD_VERSION = 5,
	READ_ATTEMPTS = 64,  /* of a slot that changes under the reader */
	PID_LIMIT = 1 << 22, /* the kernel's own */
	BITS = 64,
};

/* What is shared. The reader believes none of it. */
struct memory {
	uint32_t magic, version;
	int64_t tick_us;
	int64_t worker_id;
	uint64_t generation;
	uint32_t place;
	uint32_t state;
	uint32_t busy; /* a callback runs: its name is below */
	char callback[SCOREBOARD_NAME_SIZE];
	uint64_t counters[SCOREBOARD_COUNTERS];
	struct histogram lag;
	uint32_t high; /* slots from here on were never used */
	struct scoreboard_slot slots[SCOREBOARD_SLOTS];
	struct scoreboard_group groups[SCOREBOARD_GROUPS];
	struct scoreboard_pool pools[SCOREBOARD_POOLS];
};

struct scoreboard {
	int fd;
	struct memory *memory;
	/* Writer's own, so that nobody else can upset it. */
	const char *callback; /* literal whose copy is in memory */
	uint64_t used[SCOREBOARD_SLOTS / BITS];
};

static struct scoreboard *
board_map(int fd, int protection)
{
	struct scoreboard *board = calloc(1, sizeof *board);
	if (!board)
		return NULL;
	void *memory =
	    mmap(NULL, sizeof(struct memory), protection, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED) {
		free(board);
		return NULL;
	}
	board->fd = fd;
	board->memory = memory;
	return board;
}

static int
memory_create(void)
{
	static const uint32_t head[] = {SCOREBOARD_MAGIC, SCOREBOARD_VERSION};
	int fd =
	    memfd_create("musterd-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -1;
	if (ftruncate(fd, sizeof(struct memory)) < 0 ||
	    pwrite(fd, head, sizeof head, 0) != (ssize_t)sizeof head ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) <
		0) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

struct scoreboard *
scoreboard_new(void)
{
	int fd = memory_create();
	if (fd < 0)
		return NULL;
	struct scoreboard *board = board_map(fd, PROT_READ);
	if (!board) {
		int saved = errno;
		close(fd);
		errno = saved;
	}
	return board;
}

int
scoreboard_fd(const struct scoreboard *board)
{
	return board->fd;
}

struct scoreboard *
scoreboard_open(int fd)
{
	struct stat stat;
	if (fstat(fd, &stat) < 0 || stat.st_size != sizeof(struct memory))
		return NULL;
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return NULL;
	struct scoreboard *board = board_map(fd, PROT_READ | PROT_WRITE);
	if (!board)
		return NULL;
	if (board->memory->magic != SCOREBOARD_MAGIC ||
	    board->memory->version != SCOREBOARD_VERSION) {
		munmap(board->memory, sizeof(struct memory));
		free(board);
		return NULL;
	}
	return board;
}

struct scoreboard *
scoreboard_free(struct scoreboard *board)
{
	if (!board)
		return NULL;
	munmap(board->memory, sizeof(struct memory));
	close(board->fd);
	free(board);
	return NULL;
}

/* The writer. */

#define STORE(place, value) __atomic_store_n(&(place), value, __ATOMIC_RELAXED)
#define LOAD(place) __atomic_load_n(&(place), __ATOMIC_RELAXED)

void
scoreboard_tick(struct scoreboard *board)
{
	STORE(board->memory->tick_us, mono_now().us);
}

void
scoreboard_enter(struct scoreboard *board, const char *callback)
{
	struct memory *memory = board->memory;
	if (callback && callback != board->callback) {
		STORE(memory->busy, 0);
		size_t length = strnlen(callback, SCOREBOARD_NAME_SIZE - 1);
		memcpy(memory->callback, callback, length);
		memory->callback[length] = '\0';
		board->callback = callback;
	}
	__atomic_store_n(&memory->busy, callback ? 1 : 0, __ATOMIC_RELEASE);
}

void
scoreboard_set_config(struct scoreboard *board, int place, uint64_t generation)
{
	STORE(board->memory->place, (uint32_t)place);
	__atomic_store_n(
	    &board->memory->generation, generation, __ATOMIC_RELEASE);
}

void
scoreboard_set_worker(struct scoreboard *board, int64_t worker_id)
{
	STORE(board->memory->worker_id, worker_id);
}

void
scoreboard_set_state(struct scoreboard *board, enum scoreboard_state state)
{
	STORE(board->memory->state, (uint32_t)state);
}

void
scoreboard_count(
    struct scoreboard *board, enum scoreboard_counter which, uint64_t more)
{
	uint64_t *counter = &board->memory->counters[which];
	STORE(*counter, *counter + more);
}

struct histogram *
scoreboard_lag(struct scoreboard *board)
{
	return &board->memory->lag;
}

/* Lowest numbers first: the reader looks no further than the highest used. */
static int
slot_take(struct scoreboard *board)
{
	for (int i = 0; i < SCOREBOARD_SLOTS / BITS; i++) {
		if (board->used[i] == UINT64_MAX)
			continue;
		int bit = __builtin_ctzll(~board->used[i]);
		board->used[i] |= UINT64_C(1) << bit;
		return i * BITS + bit;
	}
	return -ENOSPC;
}

/*
 * An odd sequence while the fields change: the reader, or the reader of a
 * writer that crashed half-way, sees that they don't belong together.
 */
static void
slot_open(struct scoreboard_slot *slot)
{
	STORE(slot->sequence, slot->sequence | 1);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void
slot_close(struct scoreboard_slot *slot)
{
	__atomic_store_n(
	    &slot->sequence, (slot->sequence | 1) + 1, __ATOMIC_RELEASE);
}

static void
group_write(struct scoreboard_group *entry, pid_t group, uint64_t start)
{
	uint32_t sequence = LOAD(entry->sequence) | 1;

	STORE(entry->sequence, sequence);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	STORE(entry->group, group);
	STORE(entry->start, start);
	__atomic_store_n(&entry->sequence, sequence + 1, __ATOMIC_RELEASE);
}

int
scoreboard_task_begin(
    struct scoreboard *board, int64_t task, const char *queue, const char *kind)
{
	int index = slot_take(board);
	if (index < 0)
		return index;
	struct memory *memory = board->memory;
	struct scoreboard_slot *slot = &memory->slots[index];
	slot_open(slot);
	if ((uint32_t)index >= memory->high)
		STORE(memory->high, (uint32_t)index + 1);
	STORE(slot->group, 0);
	STORE(slot->group_start, UINT64_C(0));
	STORE(slot->inside, UINT32_C(0));
	STORE(slot->queue, scoreboard_hash(queue));
	STORE(slot->kind, scoreboard_hash(kind));
	STORE(slot->started_us, mono_lately().us);
	STORE(slot->task, task);
	slot_close(slot);
	return index;
}

void
scoreboard_set_group(
    struct scoreboard *board, int index, pid_t group, uint64_t group_start)
{
	assert(index >= 0 && index < SCOREBOARD_SLOTS);
	struct scoreboard_slot *slot = &board->memory->slots[index];
	slot_open(slot);
	STORE(slot->group, group);
	STORE(slot->group_start, group_start);
	slot_close(slot);
}

void
scoreboard_set_inside(struct scoreboard *board, int index, bool inside)
{
	assert(index >= 0 && index < SCOREBOARD_SLOTS);
	STORE(board->memory->slots[index].inside, (uint32_t)inside);
}

void
scoreboard_task_end(struct scoreboard *board, int index)
{
	assert(index >= 0 && index < SCOREBOARD_SLOTS);
	struct scoreboard_slot *slot = &board->memory->slots[index];
	slot_open(slot);
	STORE(slot->task, INT64_C(0));
	STORE(slot->group, 0);
	slot_close(slot);
	board->used[index / BITS] &= ~(UINT64_C(1) << (index % BITS));
}

/* They come and go seldom: a plain search does. */
int
scoreboard_group_begin(
    struct scoreboard *board, pid_t group, uint64_t group_start)
{
	struct scoreboard_group *groups = board->memory->groups;

	for (int i = 0; i < SCOREBOARD_GROUPS; i++) {
		if (LOAD(groups[i].group) != 0)
			continue;
		group_write(&groups[i], group, group_start);
		return i;
	}
	return -ENOSPC;
}

void
scoreboard_group_end(struct scoreboard *board, int index)
{
	assert(index >= 0 && index < SCOREBOARD_GROUPS);
	group_write(&board->memory->groups[index], 0, 0);
}

struct scoreboard_pool *
scoreboard_pools(struct scoreboard *board)
{
	return board->memory->pools;
}

/* The reader. */

int64_t
scoreboard_tick_us(const struct scoreboard *board)
{
	int64_t tick_us = LOAD(board->memory->tick_us);
	return tick_us > 0 ? tick_us : 0;
}

void
scoreboard_callback(
    const struct scoreboard *board, char ret_name[SCOREBOARD_NAME_SIZE])
{
	ret_name[0] = '\0';
	if (!__atomic_load_n(&board->memory->busy, __ATOMIC_ACQUIRE))
		return;
	memcpy(ret_name, board->memory->callback, SCOREBOARD_NAME_SIZE);
	ret_name[SCOREBOARD_NAME_SIZE - 1] = '\0';
	for (char *c = ret_name; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

int64_t
scoreboard_worker(const struct scoreboard *board)
{
	int64_t worker_id = LOAD(board->memory->worker_id);
	return worker_id > 0 ? worker_id : 0;
}

int
scoreboard_place(const struct scoreboard *board)
{
	return (int)(LOAD(board->memory->place) & INT32_MAX);
}

uint64_t
scoreboard_generation(const struct scoreboard *board)
{
	return __atomic_load_n(&board->memory->generation, __ATOMIC_ACQUIRE);
}

enum scoreboard_state
scoreboard_state(const struct scoreboard *board)
{
	uint32_t state = LOAD(board->memory->state);
	if (state > SCOREBOARD_DATABASE_AWAY)
		return SCOREBOARD_STARTING;
	return (enum scoreboard_state)state;
}

uint64_t
scoreboard_counter(
    const struct scoreboard *board, enum scoreboard_counter which)
{
	return LOAD(board->memory->counters[which]);
}

const struct histogram *
scoreboard_lag_read(const struct scoreboard *board)
{
	return &board->memory->lag;
}

const struct scoreboard_pool *
scoreboard_pools_read(const struct scoreboard *board)
{
	return board->memory->pools;
}

/* One attempt; false when the slot changed meanwhile or is being written. */
static bool
slot_copy(const struct scoreboard_slot *slot, struct scoreboard_slot *copy)
{
	copy->sequence = __atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE);
	if (copy->sequence & 1)
		return false;
	copy->group = LOAD(slot->group);
	copy->inside = LOAD(slot->inside);
	copy->task = LOAD(slot->task);
	copy->started_us = LOAD(slot->started_us);
	copy->queue = LOAD(slot->queue);
	copy->kind = LOAD(slot->kind);
	copy->group_start = LOAD(slot->group_start);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return LOAD(slot->sequence) == copy->sequence;
}

static bool
slot_is_sane(const struct scoreboard_slot *slot)
{
	if (slot->task < 0 || slot->group < 0 || slot->group > PID_LIMIT)
		return false;
	if (slot->group == 1) /* nobody's handler, and kill(-1) is everybody */
		return false;
	return slot->started_us >= 0 && slot->started_us <= mono_now().us;
}

bool
scoreboard_slot(const struct scoreboard *board, int index,
    struct scoreboard_slot *ret_slot, bool *ret_torn)
{
	*ret_torn = false;
	assert(index >= 0 && index < SCOREBOARD_SLOTS);
	if ((uint32_t)index >= LOAD(board->memory->high))
		return false;
	const struct scoreboard_slot *slot = &board->memory->slots[index];
	struct scoreboard_slot copy;
	int attempts = READ_ATTEMPTS;
	while (!slot_copy(slot, &copy))
		if (--attempts == 0) {
			*ret_torn = true;
			return false;
		}
	if (!slot_is_sane(&copy)) {
		*ret_torn = true;
		return false;
	}
	if (copy.task == 0)
		return false;
	*ret_slot = copy;
	return true;
}

bool
scoreboard_group(const struct scoreboard *board, int index,
    struct scoreboard_group *ret_group)
{
	assert(index >= 0 && index < SCOREBOARD_GROUPS);
	const struct scoreboard_group *entry = &board->memory->groups[index];
	struct scoreboard_group copy;

	copy.sequence = __atomic_load_n(&entry->sequence, __ATOMIC_ACQUIRE);
	copy.group = LOAD(entry->group);
	copy.start = LOAD(entry->start);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if ((copy.sequence & 1) || LOAD(entry->sequence) != copy.sequence)
		return false; /* not yet there, or going */
	if (copy.group < 2 || copy.group > PID_LIMIT)
		return false;
	*ret_group = copy;
	return true;
}

/* The supervisor's mapping is read-only; its descriptor is not. */
void
scoreboard_retire(struct scoreboard *board)
{
	static const uint32_t none = 0, draining = SCOREBOARD_DRAINING;
	(void)!pwrite(board->fd, &none, sizeof none,
	    offsetof(struct memory, high)); /* pages that exist already: */
	(void)!pwrite(board->fd, &draining, sizeof draining,
	    offsetof(struct memory, state)); /* neither write can fail */
}

/* FNV-1a. */
uint32_t
scoreboard_hash(const char *name)
{
	uint32_t hash = 2166136261u;
	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return hash;
}
