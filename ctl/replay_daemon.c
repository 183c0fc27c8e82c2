#include "ctl/replay_daemon.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/handled.h"
#include "ctl/interrupt.h"
#include "ctl/json.h"
#include "ctl/service_user.h"
#include "ctl/session.h"
#include "common/clock.h"

enum { READY_MS = 30000, LOOK_MS = 50, STOP_MS = 10000 };

/* The daemon that was built or installed with this program. */
static void
find_program(char path[PATH_MAX])
{
	ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 16);
	char *slash;

	path[length > 0 ? length : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash != NULL) {
		memcpy(slash + 1, "musterd", sizeof("musterd"));
		if (access(path, X_OK) == 0)
			return;
	}
	snprintf(path, PATH_MAX, "%s", SBINDIR "/musterd");
}

static int
write_config(const struct replay_daemon *daemon, const char *path,
    const char *conninfo, size_t slots, size_t kinds)
{
	struct json quoted = JSON_EMPTY;
	FILE *file = fopen(path, "wxe");

	if (file == NULL)
		return -errno;
	json_add_string(&quoted, conninfo);
	fprintf(file,
	    "database: %s\nruntime_dir: %s/run\nworkers: 1\n"
	    "log_level: warning\nlog_format: text\nshutdown_timeout: 5s\n"
	    "queues: {replay: {concurrency: %zu, retention: 1h}}\n"
	    "handlers:\n  replay: {noop: sleep}\n",
	    text_string(&quoted.text), daemon->folder, slots);
	text_free(&quoted.text);
	for (size_t i = 0; i < kinds; i++)
		fprintf(
		    file, "  replay-%zu: {noop: sleep, timeout: 365d}\n", i);
	return fclose(file) == 0 ? 0 : -errno;
}

/* In the name of the service user where this is root's. */
static void
run_program(const char *config, const char *conninfo, pid_t parent)
{
	char path[PATH_MAX];

	find_program(path);
	service_user_stay(conninfo);
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* even if the replay is killed */
	if (getppid() != parent)
		_exit(1);
	setpgid(0, 0); /* a Ctrl-C is for the replay to judge */
	execl(path, path, "-c", config, (char *)NULL);
	fprintf(stderr, "musterctl: %s: %s\n", path, strerror(errno));
	_exit(127);
}

/* 0, or an exit code. */
static int
wait_ready(struct ctl *ctl, struct replay_daemon *daemon)
{
	struct mono began = mono_now();

	for (;;) {
		struct handled handled;
		int code = handled_read(ctl, &handled);
		bool ready =
		    code == 0 && handled_has(&handled, "replay", "replay");

		handled_free(&handled);
		if (code != 0 || ready)
			return code;
		if (waitpid(daemon->pid, NULL, WNOHANG) == daemon->pid) {
			daemon->pid = 0;
			return ctl_fail(
			    CTL_FAILED, "the daemon for the replay ended");
		}
		if (mono_ms_between(began, mono_now()) > READY_MS)
			return ctl_fail(CTL_AGAIN,
			    "the daemon for the replay is not ready after %d s",
			    READY_MS / 1000);
		if (!interrupt_wait_ms(LOOK_MS))
			return CTL_INTERRUPTED;
	}
}

int
replay_daemon_start(
    struct ctl *ctl, size_t slots, size_t kinds, struct replay_daemon *daemon)
{
	struct service_user user;
	char config[sizeof(daemon->folder) + 16];
	const char *conninfo;
	pid_t parent;
	int rc, code = session_conninfo(ctl, &conninfo);

	*daemon = (struct replay_daemon){.folder = "/tmp/musterctl-XXXXXX"};
	if (code != 0)
		return code;
	service_user_become(&user, conninfo);
	rc = mkdtemp(daemon->folder) != NULL ? 0 : -errno;
	snprintf(config, sizeof(config), "%s/musterd.yaml", daemon->folder);
	if (rc == 0)
		rc = write_config(daemon, config, conninfo, slots, kinds);
	service_user_return(&user);
	if (rc < 0)
		return ctl_fail(
		    CTL_FAILED, "%s: %s", daemon->folder, strerror(-rc));
	fflush(NULL);
	parent = getpid();
	daemon->pid = fork();
	if (daemon->pid == 0)
		run_program(config, conninfo, parent);
	if (daemon->pid < 0) {
		daemon->pid = 0;
		return ctl_fail(CTL_FAILED, "no process: %s", strerror(errno));
	}
	return wait_ready(ctl, daemon);
}

static void
end_process(struct replay_daemon *daemon)
{
	struct mono began = mono_now();

	kill(daemon->pid, SIGTERM);
	while (waitpid(daemon->pid, NULL, WNOHANG) == 0) {
		if (mono_ms_between(began, mono_now()) > STOP_MS)
			kill(daemon->pid, SIGKILL);
		(void)poll(NULL, 0, LOOK_MS);
	}
	daemon->pid = 0;
}

/* The daemon has removed what it had in there. */
static void
remove_folder(const struct replay_daemon *daemon)
{
	char path[sizeof(daemon->folder) + 16];

	snprintf(path, sizeof(path), "%s/musterd.yaml", daemon->folder);
	unlink(path);
	snprintf(path, sizeof(path), "%s/run", daemon->folder);
	rmdir(path);
	rmdir(daemon->folder);
}

void
replay_daemon_stop(struct replay_daemon *daemon)
{
	if (daemon->pid > 0)
		end_process(daemon);
	remove_folder(daemon);
}
