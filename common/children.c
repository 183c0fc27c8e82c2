#include "common/children.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
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

pid_t *
children_of(pid_t pid)
{
	struct text list = TEXT_EMPTY;
	struct dirent *entry;
	char tasks[48];
	snprintf(tasks, sizeof tasks, "/proc/%d/task", (int)pid);
	DIR *threads = opendir(tasks);
	while (threads && (entry = readdir(threads)))
		add_children_of_thread(tasks, entry->d_name, &list);
	if (threads)
		closedir(threads);
	pid_t *pids = parse(text_string(&list));
	text_free(&list);
	return pids;
}
