#include "daemon/handlers/limits.h"

#include <signal.h>
#include <sys/wait.h>

#include "common/config.h"
#include "common/duration.h"

enum { MS_A_SECOND = 1000, SHELL_SIGNAL = 128, MEGABYTE = 1 << 20 };

void
limits_say_memory(const struct handler_config *config, int64_t held_bytes,
    struct text *ret_text)
{
	text_add_string(ret_text, "ended by memory_max (");
	size_format(config->memory_max_bytes, ret_text);
	text_addf(ret_text, "): its processes held %lldM",
	    (long long)((held_bytes + MEGABYTE - 1) / MEGABYTE));
}

/*
 * A shell dies no such death, but says that its command did. The limit is
 * checked against time counted in ticks, which differs from what the process is
 * told to have used, the more the busier the machine is.
 */
static bool
is_out_of_time(
    const struct handler_config *config, int code, int status, int64_t cpu_ms)
{
	if (code == CLD_EXITED)
		return status == SHELL_SIGNAL + SIGXCPU;
	return status == SIGXCPU ||
	       (status == SIGKILL && cpu_ms >= limits_cpu_time_kill_s(config) *
						   MS_A_SECOND * 3 / 4);
}

bool
limits_say_cpu_time(const struct handler_config *config, int code, int status,
    int64_t cpu_ms, struct text *ret_text)
{
	if (config->cpu_time_ms <= 0 ||
	    !is_out_of_time(config, code, status, cpu_ms))
		return false;
	text_add_string(ret_text, "ended by cpu_time (");
	duration_format(config->cpu_time_ms, ret_text);
	text_add_string(ret_text, "): a process used up its processor time");
	return true;
}
