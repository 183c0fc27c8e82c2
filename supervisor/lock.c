#include "supervisor/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int
open_in(const char *runtime_dir, const char *name)
{
	char path[PATH_MAX];
	int length = snprintf(path, sizeof path, "%s/%s", runtime_dir, name);
	if (length < 0 || (size_t)length >= sizeof path)
		return -ENAMETOOLONG;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

static int
open_locked(const char *runtime_dir, const char *name, int operation)
{
	int fd = open_in(runtime_dir, name);
	if (fd < 0)
		return fd;
	while (flock(fd, operation | LOCK_NB) < 0) {
		int saved = errno;
		if (saved == EINTR)
			continue;
		close(fd);
		return -saved;
	}
	return fd;
}

/* The pid that the holder wrote; 0: none to be read. */
static long
holder_of(const char *runtime_dir)
{
	char text[32] = "";
	int fd = open_in(runtime_dir, "lock");
	if (fd < 0)
		return 0;
	ssize_t length = read(fd, text, sizeof text - 1);
	close(fd);
	return length > 0 ? strtol(text, NULL, 10) : 0;
}

/* For people and for the message above; the lock itself is what counts. */
static void
write_pid(int fd)
{
	char text[32];
	int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) == 0)
		(void)!pwrite(fd, text, (size_t)length, 0);
}

int
lock_take(const char *runtime_dir, struct error *error)
{
	if (mkdir(runtime_dir, 0755) < 0 && errno != EEXIST) {
		int saved = errno;
		error_set(error, "cannot make the runtime_dir %s: %s",
		    runtime_dir, strerror(saved));
		return -saved;
	}
	int fd = open_locked(runtime_dir, "lock", LOCK_EX);
	if (fd == -EWOULDBLOCK)
		error_set(error,
		    "another musterd (pid %ld) runs on %s; stop it or give "
		    "this one a runtime_dir of its own",
		    holder_of(runtime_dir), runtime_dir);
	else if (fd < 0)
		error_set(error, "cannot lock %s/lock: %s", runtime_dir,
		    strerror(-fd));
	else
		write_pid(fd);
	return fd;
}

int
lock_orphans(const char *runtime_dir)
{
	int fd = open_locked(runtime_dir, "workers.lock", LOCK_EX);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

int
lock_for_child(const char *runtime_dir)
{
	return open_locked(runtime_dir, "workers.lock", LOCK_SH);
}
