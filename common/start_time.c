#include "common/start_time.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Field 22, counted from behind the name, which may hold anything. */
uint64_t
process_start_time(pid_t pid)
{
	char path[32], buffer[1024];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t length = read(fd, buffer, sizeof buffer - 1);
	close(fd);
	if (length <= 0)
		return 0;
	buffer[length] = '\0';
	char *field = strrchr(buffer, ')');
	for (int number = 2; field && number < 22; number++)
		field = strchr(field + 1, ' ');
	return field ? strtoull(field + 1, NULL, 10) : 0;
}
