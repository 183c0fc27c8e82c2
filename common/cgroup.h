/*
 * The part of the cgroup tree (version 2) that systemd has handed to this
 * service (Delegate=yes in its unit), and what lies in it:
 *
 *   UNIT/               the unit's; without processes of its own, as the
 *                       kernel wants it of a group that limits others
 *     supervisor/       supervisor, scheduler, workers
 *     tasks/
 *       worker.PID/     of a worker that has started handlers
 *         TASK.NUMBER/  one a task
 *
 * All paths are absolute.
 */
#ifndef COMMON_CGROUP_H
#define COMMON_CGROUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/config.h"
#include "common/text.h"

enum {
	CGROUP_MEMORY = 1 << 0,
	CGROUP_CPU = 1 << 1,
	CGROUP_PIDS = 1 << 2,
};

/* The folder UNIT of this process; false: none was handed to us. */
bool cgroup_unit(struct text *ret_path);

/* Controllers that a folder gives to those in it; with `enable`, all it can
 * give are switched on first. */
unsigned cgroup_controllers(const char *folder, bool enable);

/* Writes to one of a folder's files. 0 or -errno. */
int cgroup_write(const char *folder, const char *file, const char *value)
    __attribute__((warn_unused_result));

/* The number behind a word of a folder's file ("oom_kill 2"); 0: none. */
long long cgroup_read(const char *folder, const char *file, const char *word);

/* The processes in a folder; 0 at the end. The caller frees it. */
pid_t *cgroup_processes(const char *folder);

/* Kills all that is in a folder and below it. */
void cgroup_kill(const char *folder);

/* Removes a folder and those in it; false: processes still end there. One that
 * is not there is removed. */
bool cgroup_remove(const char *folder);

/* The folders that workers made, of `tasks`. */
void cgroup_worker_folder(
    const char *unit, pid_t worker, struct text *ret_path);

/* Kills and removes the folders of workers of whom `lives` is not true; false:
 * call it again, some still end. */
bool cgroup_sweep(const char *unit, bool (*lives)(pid_t worker, void *argument),
    void *argument);

/* The limits in a configuration that these controllers do not keep, as
 * "cpu_max of a, pids_max of b"; false: there are none. */
bool cgroup_not_kept(
    const struct config *config, unsigned controllers, struct text *ret_text);

#endif
