#include "daemon/scheduler/notice.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A positive number that ends the text; 0 otherwise. */
static int64_t
number(const char *text)
{
	char *end;
	if (text[0] < '0' || text[0] > '9')
		return 0;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0' ? value : 0;
}

static const char *
after(const char *payload, const char *word)
{
	size_t length = strlen(word);
	return strncmp(payload, word, length) == 0 ? payload + length : NULL;
}

struct notice
notice_parse(const char *payload)
{
	struct notice none = {.kind = NOTICE_NONE};
	const char *rest;
	if (strcmp(payload, "work") == 0)
		return (struct notice){.kind = NOTICE_WORK};
	if (strcmp(payload, "request") == 0)
		return (struct notice){.kind = NOTICE_REQUEST};
	if ((rest = after(payload, "cancel ")) != NULL) {
		struct notice cancel = {
		    .kind = NOTICE_CANCEL, .worker = number(rest)};
		return cancel.worker > 0 ? cancel : none;
	}
	if ((rest = after(payload, "ready ")) != NULL) {
		const char *space = strrchr(rest, ' ');
		struct notice ready = {.kind = NOTICE_READY};
		if (space != NULL && space > rest)
			ready.count = number(space + 1);
		return ready.count > 0 ? ready : none;
	}
	return none;
}
