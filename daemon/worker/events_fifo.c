#include "daemon/worker/events_fifo.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/text.h"
#include "daemon/worker/events.h"

#define PREFIX "events."
#define NEW_PREFIX ".events." /* not open yet, so without a reader too */

/* It gets its name when it has its reader: who purges removes others. */
static int
make(const char *temporary, const char *path)
{
	int fd, saved;

	if (unlink(temporary) < 0 && errno != ENOENT)
		return -errno;
	if (mkfifo(temporary, 0600) < 0)
		return -errno;
	fd = open(temporary, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && rename(temporary, path) == 0) {
		(void)fcntl(
		    fd, F_SETPIPE_SZ, EVENTS_PIPE_MAX); /* or as it is */
		return fd;
	}
	saved = errno;
	if (fd >= 0)
		close(fd);
	(void)unlink(temporary); /* what can be done was done */
	return -saved;
}

int
events_fifo_open(const char *runtime_dir, char **ret_path)
{
	struct text path = TEXT_EMPTY, temporary = TEXT_EMPTY;
	int fd;

	text_addf(&path, "%s/" PREFIX "%d", runtime_dir, (int)getpid());
	text_addf(
	    &temporary, "%s/" NEW_PREFIX "%d", runtime_dir, (int)getpid());
	fd = make(text_string(&temporary), text_string(&path));
	text_free(&temporary);
	if (fd >= 0)
		*ret_path = text_steal(&path);
	text_free(&path);
	return fd;
}

static bool
has_prefix(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool
is_left(int directory, const char *name)
{
	int fd;

	if (has_prefix(name, NEW_PREFIX)) {
		long pid = strtol(name + strlen(NEW_PREFIX), NULL, 10);

		return pid > 0 && kill((pid_t)pid, 0) < 0 && errno == ESRCH;
	}
	if (!has_prefix(name, PREFIX))
		return false;
	fd = openat(
	    directory, name, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENXIO;
	close(fd);
	return false;
}

void
events_fifo_purge(const char *runtime_dir)
{
	DIR *directory = opendir(runtime_dir);
	const struct dirent *entry;

	if (directory == NULL)
		return;
	while ((entry = readdir(directory)) != NULL)
		if (is_left(dirfd(directory), entry->d_name))
			(void)unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
}
