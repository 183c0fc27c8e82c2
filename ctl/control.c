#include "ctl/control.h"

#include <errno.h>
#include <stdio.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/settings.h"
#include "common/clock.h"
#include "common/text.h"

enum { ANSWER_LIMIT = 64 << 20 };

static int
connect_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, rc;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static int
send_line(int fd, const char *request)
{
	struct text line = TEXT_EMPTY;
	size_t sent = 0;
	int rc = 0;

	text_addf(&line, "%s\n", request);
	while (rc == 0 && sent < line.length) {
		ssize_t more = send(
		    fd, line.data + sent, line.length - sent, MSG_NOSIGNAL);

		if (more < 0 && errno != EINTR)
			rc = -errno;
		else if (more > 0)
			sent += (size_t)more;
	}
	text_free(&line);
	return rc;
}

/* One line, within the limit. */
static int
receive_line(int fd, int64_t limit_ms, struct text *line)
{
	struct mono until = mono_add_ms(mono_now(), limit_ms);
	struct pollfd socket = {.fd = fd, .events = POLLIN};
	char buffer[65536];

	while (line->length < ANSWER_LIMIT) {
		int64_t left = mono_ms_between(mono_now(), until);
		ssize_t got;

		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&socket, 1, left > 60000 ? 60000 : (int)left) <= 0)
			continue;
		got = recv(fd, buffer, sizeof(buffer), 0);
		if (got == 0)
			return -ECONNRESET;
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got < 0)
			continue;
		text_add(line, buffer, (size_t)got);
		if (buffer[got - 1] == '\n')
			return 0;
	}
	return -EFBIG;
}

static int
converse(
    const char *path, const char *request, int64_t limit_ms, struct text *line)
{
	int fd = connect_socket(path);
	int rc = fd < 0 ? fd : send_line(fd, request);

	if (rc >= 0)
		rc = receive_line(fd, limit_ms, line);
	if (fd >= 0)
		close(fd);
	return rc;
}

static int
unreachable(const char *path, int rc, int64_t limit_ms)
{
	switch (-rc) {
	case ENOENT:
	case ECONNREFUSED:
		return ctl_fail(CTL_AGAIN,
		    "musterd is not running (nobody listens at %s)", path);
	case EACCES:
		return ctl_fail(
		    CTL_FAILED, "%s: you may not connect; try with sudo", path);
	case ETIMEDOUT:
		return ctl_fail(CTL_AGAIN,
		    "musterd gave no answer within %lld s at %s",
		    (long long)(limit_ms / 1000), path);
	case ECONNRESET:
		return ctl_fail(CTL_AGAIN,
		    "musterd ended the connection at %s without an answer",
		    path);
	default:
		return ctl_fail(CTL_AGAIN, "%s: %s", path, strerror(-rc));
	}
}

int
control_ask(
    struct ctl *ctl, const char *request, int64_t limit_ms, json_t **ret_answer)
{
	struct text path = TEXT_EMPTY, line = TEXT_EMPTY;
	int code = settings_control_path(ctl, &path);
	int rc;

	*ret_answer = NULL;
	if (code == 0) {
		limit_ms = ctl_limit_ms(ctl, limit_ms);
		rc = converse(text_string(&path), request, limit_ms, &line);
		if (rc < 0)
			code = unreachable(text_string(&path), rc, limit_ms);
		if (rc < 0 && settings_are_wrong(ctl))
			code = settings_load(ctl);
	}
	if (code == 0) {
		*ret_answer = json_loadb(line.data, line.length, 0, NULL);
		if (!json_is_object(*ret_answer))
			code = ctl_fail(CTL_FAILED,
			    "musterd answered something that is no JSON");
	}
	if (code != 0) {
		json_decref(*ret_answer);
		*ret_answer = NULL;
	}
	text_free(&path);
	text_free(&line);
	return code;
}

/* All errors where there are several, with their places. */
static void
tell_errors(const json_t *answer)
{
	const json_t *errors = json_object_get(answer, "errors");
	const char *error = json_string_value(json_object_get(answer, "error"));

	if (json_array_size(errors) == 0) {
		ctl_fail(CTL_FAILED, "%s", error != NULL ? error : "refused");
		return;
	}
	for (size_t i = 0; i < json_array_size(errors); i++) {
		error = json_string_value(json_array_get(errors, i));
		if (error != NULL)
			ctl_fail(CTL_FAILED, "%s", error);
	}
}

int
control_order(
    struct ctl *ctl, const char *request, int64_t limit_ms, json_t **ret_answer)
{
	int code = control_ask(ctl, request, limit_ms, ret_answer);

	if (code != 0 || json_is_true(json_object_get(*ret_answer, "ok")))
		return code;
	if (ctl_json(ctl)) {
		json_dumpf(*ret_answer, stdout, JSON_COMPACT);
		putchar('\n');
	}
	tell_errors(*ret_answer);
	json_decref(*ret_answer);
	*ret_answer = NULL;
	return CTL_FAILED;
}
