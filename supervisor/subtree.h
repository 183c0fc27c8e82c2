/*
 * The cgroups that systemd has handed over (common/cgroup.h): the supervisor
 * moves itself out of the way, switches the controllers on, and removes what
 * dead workers left. Where none was handed over, all of this does nothing.
 */
#ifndef SUPERVISOR_SUBTREE_H
#define SUPERVISOR_SUBTREE_H

struct supervisor;
struct subtree;

/* Before anything is started, for children stay where they were born. */
struct subtree *subtree_new(void);
struct subtree *subtree_free(struct subtree *subtree); /* NULL ok; NULL */

/* Which limits of tasks are kept how; warns of those that are not. */
void subtree_say(const struct supervisor *supervisor);
void subtree_warn(const struct supervisor *supervisor);

/* Kills what is left of workers that are gone, and removes their groups. */
void subtree_sweep(struct supervisor *supervisor);
/* Once a second: again what could not be removed at once. */
void subtree_sweep_again(struct supervisor *supervisor);

#endif
