#include "daemon/handlers/task_cgroup.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/busy.h"
#include "common/cgroup.h"
#include "common/config.h"
#include "common/duration.h"
#include "common/log.h"

enum { AGAIN_MS = 20, CPU_PERIOD_US = 100000, CPU_LEAST_US = 1000 };

struct task_cgroup {
	SLIST_ENTRY(task_cgroup) link; /* of those that end */
	struct text path;
	int fd; /* its cgroup.procs */
};

static struct text folder; /* of this worker; empty: there is none */
static unsigned controllers;
static SLIST_HEAD(, task_cgroup) ending = SLIST_HEAD_INITIALIZER(ending);
static struct event *timer;
static uint64_t number; /* a task may run here more than once */
static int users;

static void
look_again(void)
{
	event_add(timer, &(struct timeval){.tv_usec = AGAIN_MS * 1000});
}

static struct task_cgroup *
task_cgroup_free(struct task_cgroup *cgroup)
{
	if (cgroup->fd >= 0)
		close(cgroup->fd);
	text_free(&cgroup->path);
	free(cgroup);
	return NULL;
}

/* Those whose processes have ended by now. */
static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
	(void)fd, (void)what, (void)argument;
	struct busy busy = busy_enter("removing cgroups of tasks");
	struct task_cgroup *cgroup = SLIST_FIRST(&ending), *next;

	for (; cgroup != NULL; cgroup = next) {
		next = SLIST_NEXT(cgroup, link);
		cgroup_kill(text_string(&cgroup->path));
		if (!cgroup_remove(text_string(&cgroup->path)))
			continue;
		SLIST_REMOVE(&ending, cgroup, task_cgroup, link);
		task_cgroup_free(cgroup);
	}
	if (!SLIST_EMPTY(&ending))
		look_again();
	busy_leave(busy);
}

void
task_cgroups_open(struct event_base *base)
{
	struct text unit = TEXT_EMPTY;

	if (users++ > 0)
		return;
	timer = evtimer_new(base, on_timer, NULL);
	if (timer == NULL)
		abort();
	if (cgroup_unit(&unit)) {
		cgroup_worker_folder(text_string(&unit), getpid(), &folder);
		if (mkdir(text_string(&folder), 0755) < 0 && errno != EEXIST)
			text_clear(&folder);
		else
			controllers =
			    cgroup_controllers(text_string(&folder), true);
	}
	text_free(&unit);
}

/* What is not empty yet is left to the supervisor. */
void
task_cgroups_close(void)
{
	struct task_cgroup *cgroup;

	assert(users > 0);
	if (--users > 0)
		return;
	while ((cgroup = SLIST_FIRST(&ending)) != NULL) {
		SLIST_REMOVE_HEAD(&ending, link);
		task_cgroup_free(cgroup);
	}
	if (folder.length > 0)
		(void)cgroup_remove(text_string(&folder));
	text_free(&folder);
	controllers = 0;
	event_free(timer);
	timer = NULL;
}

unsigned
task_cgroups_controllers(void)
{
	return controllers;
}

static int
set(const struct task_cgroup *cgroup, const char *file, const char *format,
    int64_t value)
{
	char text[48];

	(void)snprintf(text, sizeof(text), "%" PRId64 "%s", value, format);
	return cgroup_write(text_string(&cgroup->path), file, text);
}

static int
set_memory(const struct task_cgroup *cgroup, int64_t bytes)
{
	const char *path = text_string(&cgroup->path);
	int r = set(cgroup, "memory.max", "", bytes);

	if (r < 0)
		return r;
	/* Swap is not a way around it; older kernels lack the first. */
	(void)!cgroup_write(path, "memory.oom.group", "1");
	(void)!cgroup_write(path, "memory.swap.max", "0");
	return 0;
}

static int
set_cpu(const struct task_cgroup *cgroup, double processors)
{
	int64_t us = (int64_t)(processors * CPU_PERIOD_US);

	return set(cgroup, "cpu.max", " 100000",
	    us > CPU_LEAST_US ? us : CPU_LEAST_US);
}

static int
set_limits(
    const struct task_cgroup *cgroup, const struct handler_config *config)
{
	int r = 0;

	if (config->memory_max_bytes > 0 && (controllers & CGROUP_MEMORY) != 0)
		r = set_memory(cgroup, config->memory_max_bytes);
	if (r == 0 && config->cpu_max > 0 && (controllers & CGROUP_CPU) != 0)
		r = set_cpu(cgroup, config->cpu_max);
	if (r == 0 && config->pids_max > 0 && (controllers & CGROUP_PIDS) != 0)
		r = set(cgroup, "pids.max", "", config->pids_max);
	return r;
}

static int
open_procs(struct task_cgroup *cgroup)
{
	struct text path = TEXT_EMPTY;

	text_addf(&path, "%s/cgroup.procs", text_string(&cgroup->path));
	cgroup->fd = open(text_string(&path), O_WRONLY | O_CLOEXEC);
	text_free(&path);
	return cgroup->fd < 0 ? -errno : 0;
}

int
task_cgroup_new(const struct handler_config *config, int64_t name,
    struct task_cgroup **ret_cgroup)
{
	struct task_cgroup *cgroup;
	int r = 0;

	*ret_cgroup = NULL;
	if (folder.length == 0)
		return 0;
	cgroup = calloc(1, sizeof(*cgroup));
	if (cgroup == NULL)
		abort();
	cgroup->fd = -1;
	text_addf(&cgroup->path, "%s/%" PRId64 ".%" PRIu64,
	    text_string(&folder), name, number++);
	if (mkdir(text_string(&cgroup->path), 0755) < 0)
		r = -errno;
	if (r == 0)
		r = set_limits(cgroup, config);
	if (r == 0)
		r = open_procs(cgroup);
	if (r == 0) {
		*ret_cgroup = cgroup;
		return 0;
	}
	(void)cgroup_remove(text_string(&cgroup->path));
	(void)task_cgroup_free(cgroup);
	return r;
}

int
task_cgroup_fd(const struct task_cgroup *cgroup)
{
	return cgroup != NULL ? cgroup->fd : 0;
}

const char *
task_cgroup_path(const struct task_cgroup *cgroup)
{
	return cgroup != NULL ? text_string(&cgroup->path) : NULL;
}

void
task_cgroup_kill(const struct task_cgroup *cgroup)
{
	if (cgroup != NULL)
		cgroup_kill(text_string(&cgroup->path));
}

bool
task_cgroup_say_memory(const struct task_cgroup *cgroup,
    const struct handler_config *config, struct text *ret_text)
{
	const char *path;

	if (cgroup == NULL || (controllers & CGROUP_MEMORY) == 0)
		return false;
	path = text_string(&cgroup->path);
	if (cgroup_read(path, "memory.events", "oom_kill") == 0)
		return false;
	if (config->memory_max_bytes > 0 &&
	    cgroup_read(path, "memory.events", "oom") > 0) {
		text_add_string(ret_text, "ended by memory_max (");
		size_format(config->memory_max_bytes, ret_text);
		text_add_string(ret_text, "): its processes needed more");
	} else {
		text_add_string(ret_text,
		    "killed because memory ran out, not by a limit of its own");
	}
	return true;
}

bool
task_cgroup_refused_pids(const struct task_cgroup *cgroup)
{
	return cgroup != NULL && (controllers & CGROUP_PIDS) != 0 &&
	       cgroup_read(text_string(&cgroup->path), "pids.events", "max") >
		   0;
}

bool
task_cgroup_end(struct task_cgroup *cgroup)
{
	if (cgroup == NULL)
		return false;
	if (cgroup_remove(text_string(&cgroup->path))) {
		(void)task_cgroup_free(cgroup);
		return false;
	}
	cgroup_kill(text_string(&cgroup->path));
	SLIST_INSERT_HEAD(&ending, cgroup, link);
	if (!evtimer_pending(timer, NULL))
		look_again();
	return true;
}
