#include "ctl/input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* What is over the limit is only counted. */
static int
read_all(int fd, size_t limit, struct text *text, size_t *ret_size)
{
	char buffer[65536];

	*ret_size = 0;
	while (*ret_size <= INPUT_LIMIT) {
		ssize_t got = read(fd, buffer, sizeof(buffer));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		if (*ret_size <= limit)
			text_add(text, buffer, (size_t)got);
		*ret_size += (size_t)got;
	}
	return *ret_size > limit ? -EFBIG : 0;
}

int
input_read_limited(size_t limit, struct text *ret_text, size_t *ret_size)
{
	return read_all(STDIN_FILENO, limit, ret_text, ret_size);
}

int
input_read(const char *file, struct text *ret_text, struct error *error)
{
	bool standard = strcmp(file, "-") == 0;
	int fd = standard ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
	size_t size;
	int rc = fd < 0 ? -errno : read_all(fd, INPUT_LIMIT, ret_text, &size);

	if (fd >= 0 && !standard)
		close(fd);
	if (rc == -EFBIG)
		error_set(error, "larger than %d MB", INPUT_LIMIT >> 20);
	else if (rc < 0)
		error_set(error, "cannot be read: %s", strerror(-rc));
	if (rc < 0)
		error_place(error, standard ? "standard input" : file, 0, 0);
	return rc;
}
