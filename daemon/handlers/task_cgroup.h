/*
 * A cgroup for the processes of one task (common/cgroup.h), where systemd has
 * handed some to us: whatever they do, they cannot leave it. Where there is
 * none, the functions do nothing, and say so.
 *
 * State of the process: the folder of this worker, from the first open to the
 * last close, and groups that could not be removed yet.
 */
#ifndef DAEMON_HANDLERS_TASK_CGROUP_H
#define DAEMON_HANDLERS_TASK_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/text.h"

struct event_base;
struct handler_config;
struct task_cgroup;

void task_cgroups_open(struct event_base *base);
void task_cgroups_close(void);
/* CGROUP_MEMORY, …: what groups of tasks limit. */
unsigned task_cgroups_controllers(void);

/* With the limits of its handler. `name` is for people, such as the id of the
 * task. 0, and NULL where there are no cgroups; or -errno. */
int task_cgroup_new(const struct handler_config *config, int64_t name,
    struct task_cgroup **ret_cgroup) __attribute__((warn_unused_result));

/* For struct spawn; NULL gives 0. */
int task_cgroup_fd(const struct task_cgroup *cgroup);

/* Its folder; NULL for NULL. */
const char *task_cgroup_path(const struct task_cgroup *cgroup);

/* Kills all that is in it; takes NULL. */
void task_cgroup_kill(const struct task_cgroup *cgroup);

/* False: no process of it was killed for memory. */
bool task_cgroup_say_memory(const struct task_cgroup *cgroup,
    const struct handler_config *config, struct text *ret_text);

/* Whether a process or thread was refused for `pids_max`. */
bool task_cgroup_refused_pids(const struct task_cgroup *cgroup);

/* Kills what is still in it and removes it, now or soon; true: there was
 * something. Takes NULL. */
bool task_cgroup_end(struct task_cgroup *cgroup);

#endif
