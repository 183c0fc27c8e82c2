#include "supervisor/subtree.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cgroup.h"
#include "common/log.h"
#include "supervisor/child.h"
#include "supervisor/generation.h"
#include "supervisor/supervisor.h"

struct subtree {
	struct text unit; /* empty: none was handed over */
	unsigned controllers;
	int error;  /* errno of what kept us from using it */
	bool dirty; /* something could not be removed */
};

static int
make_folder(const char *unit, const char *name, struct text *ret_path)
{
	text_clear(ret_path);
	text_addf(ret_path, "%s/%s", unit, name);
	return mkdir(text_string(ret_path), 0755) < 0 && errno != EEXIST
		   ? -errno
		   : 0;
}

/* Only a group without processes may limit those below it. */
static int
take_over(struct subtree *subtree)
{
	const char *unit = text_string(&subtree->unit);
	struct text path = TEXT_EMPTY;
	int r = make_folder(unit, "supervisor", &path);
	if (r == 0)
		r = cgroup_write(text_string(&path), "cgroup.procs", "0");
	if (r == 0)
		r = make_folder(unit, "tasks", &path);
	if (r == 0) {
		(void)cgroup_controllers(unit, true);
		subtree->controllers =
		    cgroup_controllers(text_string(&path), true);
	}
	text_free(&path);
	return r;
}

struct subtree *
subtree_new(void)
{
	struct subtree *subtree = calloc(1, sizeof *subtree);
	if (!subtree)
		abort();
	if (!cgroup_unit(&subtree->unit))
		text_clear(&subtree->unit);
	else
		subtree->error = -take_over(subtree);
	if (subtree->error)
		text_clear(&subtree->unit);
	return subtree;
}

struct subtree *
subtree_free(struct subtree *subtree)
{
	if (subtree)
		text_free(&subtree->unit);
	free(subtree);
	return NULL;
}

static void
say_cgroups(const struct subtree *subtree)
{
	unsigned have = subtree->controllers;
	log_info(
	    "limits of tasks: each has a cgroup below %s/tasks; memory_max "
	    "by %s, cpu_max %s, pids_max %s",
	    text_string(&subtree->unit),
	    have & CGROUP_MEMORY ? "it" : "looking (no controller memory)",
	    have & CGROUP_CPU ? "by it" : "not kept (no controller cpu)",
	    have & CGROUP_PIDS ? "by it" : "not kept (no controller pids)");
}

void
subtree_warn(const struct supervisor *supervisor)
{
	struct text limits = TEXT_EMPTY;
	if (cgroup_not_kept(supervisor->current->config,
		supervisor->subtree->controllers, &limits))
		log_warning("%s: not kept, for this takes cgroups that the "
			    "unit delegates (musterd-delegate.conf)",
		    text_string(&limits));
	text_free(&limits);
}

void
subtree_say(const struct supervisor *supervisor)
{
	const struct subtree *subtree = supervisor->subtree;
	if (subtree->error)
		log_warning("cannot use the cgroups that the unit delegates: "
			    "%s; limits of tasks are kept without them",
		    strerror(subtree->error));
	if (subtree->unit.length > 0)
		say_cgroups(subtree);
	else
		log_info("limits of tasks: by rlimits; memory_max by looking, "
			 "cpu_max and pids_max not kept (no cgroups)");
	subtree_warn(supervisor);
}

struct wanted {
	pid_t pid;
	bool found;
};

static void
compare(struct child *child, void *argument)
{
	struct wanted *wanted = argument;
	wanted->found = wanted->found || child->pid == wanted->pid;
}

static bool
lives(pid_t worker, void *argument)
{
	struct wanted wanted = {.pid = worker};
	places_each(argument, compare, &wanted);
	return wanted.found;
}

void
subtree_sweep(struct supervisor *supervisor)
{
	struct subtree *subtree = supervisor->subtree;
	if (subtree->unit.length > 0)
		subtree->dirty = !cgroup_sweep(
		    text_string(&subtree->unit), lives, supervisor);
}

void
subtree_sweep_again(struct supervisor *supervisor)
{
	if (supervisor->subtree->dirty)
		subtree_sweep(supervisor);
}
