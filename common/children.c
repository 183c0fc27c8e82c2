#include "common/children.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/text.h"

static void
add_children_of_thread(const char *tasks, const char *thread, struct text *list)
{
	char path[320], buffer[4096];
	ssize_t length;
	snprintf(path, sizeof path, "%s/%s/children", tasks, thread);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && (length = read(fd, buffer, sizeof buffer)) > 0)
		text_add(list, buffer, (size_t)length);
	if (fd >= 0)
		close(fd);
}

static pid_t *
parse(const char *at)
{
	size_t count = 0;
	pid_t *pids = calloc(1, sizeof *pids);
	char *end;
	for (long pid; pids && (pid = strtol(at, &end, 10)) > 0; at = end) {
		pids = reallocarray(pids, count + 2, sizeof *pids);
		if (!pids)
			break;
		pids[count++] = (pid_t)pid;
		pids[count] = 0;
	}
	if (!pids)
		abort();
	return pids;
}

static void
add_children_of_all(const char *tasks, struct text *list)
{
	struct dirent *entry;
	DIR *threads = opendir(tasks);
	while (threads && (entry = readdir(threads)))
		add_children_of_thread(tasks, entry->d_name, list);
	if (threads)
		closedir(threads);
}

/* Each thread is a link to the folder, beside the two of any. */
static bool
has_one_thread(const char *tasks)
{
	struct stat found;
	return stat(tasks, &found) == 0 && found.st_nlink == 3;
}

pid_t *
children_of(pid_t pid)
{
	struct text list = TEXT_EMPTY;
	char tasks[48], own[16];
	snprintf(tasks, sizeof tasks, "/proc/%d/task", (int)pid);
	snprintf(own, sizeof own, "%d", (int)pid);
	if (has_one_thread(tasks))
		add_children_of_thread(tasks, own, &list);
	else
		add_children_of_all(tasks, &list);
	pid_t *pids = parse(text_string(&list));
	text_free(&list);
	return pids;
}
