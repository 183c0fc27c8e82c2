/*
 * Starting a program: the few steps between two processes, without a copy of
 * this one's memory. The caller is suspended until the program runs or could
 * not be run, so an error of execve is known when the call returns.
 *
 * What starts has a clean slate: the descriptors it was given and no
 * other, all signals as by default and none blocked, a process group of its
 * own, and SIGKILL when the thread that started it ends.
 *
 * To be called by the main thread alone.
 */
#ifndef DAEMON_HANDLERS_SPAWN_H
#define DAEMON_HANDLERS_SPAWN_H

#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct handler_config;

enum { SPAWN_RLIMITS = 4 };

struct spawn_limits {
	struct {
		int resource; /* RLIMIT_NOFILE, … */
		struct rlimit limit;
	} rlimits[SPAWN_RLIMITS];
	int count;
	int umask;		/* below 0: ours */
	int nice;		/* beyond ours; not above 0: none */
	char oom_score_adj[16]; /* a number as text */
};

struct spawn {
	const char *program;	   /* a path; not searched for */
	char *const *argv;	   /* NULL at the end */
	char *const *envp;	   /* NULL at the end */
	const char *directory;	   /* to start in */
	int input, output, errors; /* its 0, 1, 2; each above 2 */
	int socket;		   /* its 3; above 3; -1: it gets none */
	int cgroup; /* its cgroup.procs, above 2; 0: it stays in ours */
	const struct spawn_limits *limits;
};

enum spawn_step { SPAWN_PROCESS, SPAWN_DIRECTORY, SPAWN_PROGRAM };

struct spawned {
	pid_t pid;	     /* of the leader of its group */
	int pidfd;	     /* the caller's to close; close-on-exec */
	uint64_t start_time; /* as process_start_time gives it */
};

/* 0, or -errno and in `ret_failed` what failed; nothing is left behind then. */
int spawn_start(const struct spawn *spawn, struct spawned *ret_spawned,
    enum spawn_step *ret_failed) __attribute__((warn_unused_result));

/* Those of a handler, from its configuration and our own: if it says nothing
 * else, 1024 open files at first and no core; and killed before us when memory
 * runs out. */
void spawn_limits(
    const struct handler_config *config, struct spawn_limits *ret_limits);

/* A path for `name`: itself when it has a slash, else the first executable of
 * that name in `path` (PATH's form). Owned by the caller; NULL: none found. */
char *spawn_find(const char *name, const char *path);

#endif
