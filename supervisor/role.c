#include "supervisor/role.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/child.h"
#include "common/log.h"
#include "supervisor/check.h"

enum { LOG_CLOSE_MS = 500 };

static struct config *
config_read(int fd)
{
	struct stat stat;
	struct error error = {0};
	if (fstat(fd, &stat) < 0 || stat.st_size <= 0)
		return NULL;
	size_t size = (size_t)stat.st_size;
	void *blob = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (blob == MAP_FAILED)
		return NULL;
	struct config *config = config_decode(blob, size, &error);
	munmap(blob, size);
	return config;
}

/* Across exec they had to be inheritable; from here on they are not. */
static void
descriptors_keep(void)
{
	for (int fd = CHILD_FD_CHANNEL; fd < CHILD_FD_OTHERS; fd++)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* not all are there */
}

static bool
others_open(struct child_start *start, int count)
{
	if (count <= 0)
		return count == 0;
	start->others = calloc((size_t)count, sizeof start->others[0]);
	if (!start->others)
		abort();
	for (; start->other_count < count; start->other_count++) {
		int fd = CHILD_FD_OTHERS + start->other_count;
		struct scoreboard *board = scoreboard_open(fd);
		if (!board)
			return false;
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
		start->others[start->other_count] = board;
	}
	return true;
}

static bool
child_open(const struct role_options *options, struct child_start *start)
{
	start->slot = options->slot;
	start->generation = options->generation;
	start->first = options->first;
	start->config = config_read(CHILD_FD_CONFIG);
	start->scoreboard = scoreboard_open(CHILD_FD_SCOREBOARD);
	return start->config && start->scoreboard &&
	       others_open(start, options->others);
}

static int
child_main(const struct role_options *options,
    int (*run)(struct child_start *start), const char *name)
{
	struct child_start start = {0};
	descriptors_keep();
	if (!child_open(options, &start)) {
		fprintf(stderr,
		    "musterd: --role is for the supervisor's own use\n");
		config_free(start.config);
		scoreboard_free(start.scoreboard);
		for (int i = 0; i < start.other_count; i++)
			scoreboard_free(start.others[i]);
		free(start.others);
		return 2;
	}
	log_open(name, options->slot, start.config->log_format);
	log_set_level(start.config->log_level);
	int code = run(&start);
	log_close(LOG_CLOSE_MS);
	return code;
}

int
role_main(const struct role_options *options)
{
	if (strcmp(options->role, "worker") == 0 && options->slot >= 0)
		return child_main(options, worker_main, "worker");
	if (strcmp(options->role, "scheduler") == 0)
		return child_main(options, scheduler_main, "scheduler");
	if (strcmp(options->role, "config-check") == 0)
		return check_role_main(options->config_file);
	fprintf(stderr, "musterd: no role '%s'\n", options->role);
	return 2;
}
