#include "ctl/input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int
read_all(int fd, struct text *text)
{
	char buffer[65536];

	while (text->length <= INPUT_LIMIT) {
		ssize_t got = read(fd, buffer, sizeof(buffer));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : 0;
		text_add(text, buffer, (size_t)got);
	}
	return -EFBIG;
}

int
input_read(const char *file, struct text *ret_text, struct error *error)
{
	bool standard = strcmp(file, "-") == 0;
	int fd = standard ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
	int rc = fd < 0 ? -errno : read_all(fd, ret_text);

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
