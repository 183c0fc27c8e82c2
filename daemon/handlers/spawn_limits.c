#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/config.h"
#include "daemon/handlers/limits.h"
#include "daemon/handlers/spawn.h"

enum {
	OPEN_FILES = 1024,
	OOM_SCORE_MORE = 200,
	OOM_SCORE_MAX = 1000,
	MS_A_SECOND = 1000,
};

/* Runtimes map far more than they use, threads their whole stack: this is only
 * to stop a process that takes all it can get between two looks. */
#define DATA_MORE ((int64_t)1 << 30)

/* Neither number may be above our own hard limit. */
static void
add(struct spawn_limits *limits, int resource, rlim_t soft, rlim_t hard)
{
	struct rlimit own;
	int at = limits->count;

	if (getrlimit((__rlimit_resource_t)resource, &own) == 0) {
		soft = soft < own.rlim_max ? soft : own.rlim_max;
		hard = hard < own.rlim_max ? hard : own.rlim_max;
	}
	limits->rlimits[at].resource = resource;
	limits->rlimits[at].limit =
	    (struct rlimit){.rlim_cur = soft, .rlim_max = hard};
	limits->count++;
}

static void
add_open_files(const struct handler_config *config, struct spawn_limits *limits)
{
	rlim_t files = (rlim_t)config->open_files;

	if (config->open_files > 0)
		add(limits, RLIMIT_NOFILE, files, files);
	else
		add(limits, RLIMIT_NOFILE, OPEN_FILES, RLIM_INFINITY);
}

static int64_t
whole_seconds(int64_t ms)
{
	return (ms + MS_A_SECOND - 1) / MS_A_SECOND;
}

int64_t
limits_cpu_time_s(const struct handler_config *config)
{
	return whole_seconds(config->cpu_time_ms);
}

int64_t
limits_cpu_time_kill_s(const struct handler_config *config)
{
	int64_t grace_s = whole_seconds(config->limits.grace_ms);

	return limits_cpu_time_s(config) + (grace_s > 0 ? grace_s : 1);
}

static int
own_oom_score(void)
{
	char buffer[16] = "";
	int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return 0;
	length = read(fd, buffer, sizeof(buffer) - 1);
	close(fd);
	return length > 0 ? (int)strtol(buffer, NULL, 10) : 0;
}

void
spawn_limits(
    const struct handler_config *config, struct spawn_limits *ret_limits)
{
	int64_t memory = config->memory_max_bytes;
	rlim_t core = config->core_bytes > 0 ? (rlim_t)config->core_bytes : 0;
	int score = own_oom_score() + OOM_SCORE_MORE;

	*ret_limits = (struct spawn_limits){
	    .umask = config->umask,
	    .nice = config->nice,
	};
	add_open_files(config, ret_limits);
	add(ret_limits, RLIMIT_CORE, core, core);
	if (memory > 0)
		add(ret_limits, RLIMIT_DATA, (rlim_t)(2 * memory + DATA_MORE),
		    (rlim_t)(2 * memory + DATA_MORE));
	if (config->cpu_time_ms > 0)
		add(ret_limits, RLIMIT_CPU, (rlim_t)limits_cpu_time_s(config),
		    (rlim_t)limits_cpu_time_kill_s(config));
	(void)snprintf(ret_limits->oom_score_adj,
	    sizeof(ret_limits->oom_score_adj), "%d",
	    score < OOM_SCORE_MAX ? score : OOM_SCORE_MAX);
}
