/*
 * The journal's native protocol: a datagram of NAME=value lines; a value with
 * line feeds is written as NAME, line feed, its length as 64 bits little
 * endian, the value. (systemd, "Native Journal Protocol".)
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log_parts.h"

const char *log_journal_path = "/run/systemd/journal/socket";

static int journal_fd = -1;

int
log_journal_open(void)
{
	journal_fd =
	    socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return journal_fd < 0 ? -errno : 0;
}

/* Addressed anew each time: a connection would not outlive journald's socket.
 */
bool
log_journal_send(const void *datagram, size_t size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	ssize_t sent;

	if (strlen(log_journal_path) >= sizeof(address.sun_path))
		return false;
	memcpy(address.sun_path, log_journal_path, strlen(log_journal_path));
	do
		sent = sendto(journal_fd, datagram, size, MSG_NOSIGNAL,
		    (const struct sockaddr *)&address, sizeof(address));
	while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)size;
}

void
log_journal_close(void)
{
	close(journal_fd);
	journal_fd = -1;
}

static void
add_field(
    const char *name, const char *value, size_t length, struct text *ret_text)
{
	uint64_t size = htole64(length);

	text_add_string(ret_text, name);
	if (memchr(value, '\n', length) == NULL) {
		text_add_char(ret_text, '=');
	} else {
		text_add_char(ret_text, '\n');
		text_add(ret_text, &size, sizeof(size));
	}
	text_add(ret_text, value, length);
	text_add_char(ret_text, '\n');
}

static void
add_string(const char *name, const char *value, struct text *ret_text)
{
	struct text clean = TEXT_EMPTY;

	if (value == NULL || value[0] == '\0')
		return;
	log_add_message(value, strlen(value), false, 128, &clean);
	add_field(name, text_string(&clean), clean.length, ret_text);
	text_free(&clean);
}

static void
add_number(const char *name, int64_t value, struct text *ret_text)
{
	text_addf(ret_text, "%s=%lld\n", name, (long long)value);
}

static void
add_known(const char *name, int64_t value, struct text *ret_text)
{
	if (value != 0)
		add_number(name, value, ret_text);
}

/* The context stands in the message too: journalctl shows nothing else. */
static void
add_message(const struct log_record *record, struct text *ret_text)
{
	struct text message = TEXT_EMPTY;

	log_add_message(record->message, record->length, true,
	    LOG_LINE_LIMIT - 1024, &message);
	if (!record->bare)
		log_add_context(record->context, &message);
	add_field("MESSAGE", text_string(&message), message.length, ret_text);
	text_free(&message);
}

void
log_journal_fields(const struct log_record *record, struct text *ret_datagram)
{
	const struct log_context *context = record->context;
	struct log_walk walk = {0};

	add_message(record, ret_datagram);
	add_number("PRIORITY", record->level, ret_datagram);
	add_string("SYSLOG_IDENTIFIER", "musterd", ret_datagram);
	add_string("MESSAGE_ID", record->kind_id, ret_datagram);
	add_string("MUSTER_ROLE", record->role, ret_datagram);
	if (record->worker >= 0)
		add_number("MUSTER_WORKER", record->worker, ret_datagram);
	add_known("MUSTER_TASK", context->task, ret_datagram);
	add_known("MUSTER_FLOW", context->flow, ret_datagram);
	add_string("MUSTER_KIND", context->kind, ret_datagram);
	add_string("MUSTER_QUEUE", context->queue, ret_datagram);
	add_known("MUSTER_ATTEMPT", context->attempt, ret_datagram);
	add_string("TRACE_ID", context->trace_id, ret_datagram);
	while (log_walk_next(&walk, context))
		add_field(text_string(&walk.name), text_string(&walk.value),
		    walk.value.length, ret_datagram);
}
