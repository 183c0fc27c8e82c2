#include "ctl/format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"

void
format_ms(struct text *text, int64_t ms)
{
	long long s = ms / 1000, m = s / 60, h = m / 60, d = h / 24;

	if (ms < 0)
		text_add_string(text, "0ms");
	else if (ms < 1000)
		text_addf(text, "%lldms", (long long)ms);
	else if (s < 10)
		text_addf(text, "%lld.%llds", s, (long long)ms % 1000 / 100);
	else if (m < 1)
		text_addf(text, "%llds", s);
	else if (h < 1)
		text_addf(text, "%lldm%02llds", m, s % 60);
	else if (d < 1)
		text_addf(text, "%lldh%02lldm", h, m % 60);
	else
		text_addf(text, "%lldd%02lldh", d, h % 24);
}

void
format_time(struct text *text, int64_t us)
{
	time_t at = (time_t)(us / 1000000);
	time_t now = (time_t)(wall_now_us() / 1000000);
	struct tm moment, today;
	char buffer[40];
	bool same;

	if (localtime_r(&at, &moment) == NULL ||
	    localtime_r(&now, &today) == NULL)
		return;
	same =
	    moment.tm_year == today.tm_year && moment.tm_yday == today.tm_yday;
	if (strftime(buffer, sizeof(buffer),
		same ? "%H:%M:%S" : "%Y-%m-%d %H:%M", &moment) > 0)
		text_add_string(text, buffer);
}

void
format_time_utc(struct text *text, int64_t us)
{
	time_t at = (time_t)(us / 1000000);
	struct tm moment;
	char buffer[40];

	if (gmtime_r(&at, &moment) != NULL &&
	    strftime(buffer, sizeof(buffer), "%Y-%m-%dT%H:%M:%S", &moment) > 0)
		text_addf(text, "%s.%06dZ", buffer, (int)(us % 1000000));
}

static bool
parse_int(const char *string, int64_t *ret_number)
{
	char *end;
	long long number;

	errno = 0;
	number = strtoll(string, &end, 10);
	if (errno != 0 || end == string || *end != '\0')
		return false;
	*ret_number = number;
	return true;
}

void
format_error(struct text *text, const char *error)
{
	enum { LIMIT = 200 };
	struct text line = TEXT_EMPTY;
	size_t length = strcspn(error, "\n");

	text_add_utf8(&line, error, length, LIMIT);
	text_add_escaped(text, text_string(&line), line.length);
	if (error[length] != '\0' || length > LIMIT)
		text_add_string(text, " …");
	text_free(&line);
}

bool
format_parse_id(const char *string, int64_t *ret_id)
{
	return *string >= '0' && *string <= '9' && parse_int(string, ret_id) &&
	       *ret_id > 0;
}

int
format_id_argument(const struct ctl *ctl, int64_t *ret_id)
{
	const char *word = ctl_argument(ctl, 0);

	if (word == NULL)
		return ctl_usage(ctl, "an id is missing");
	if (!format_parse_id(word, ret_id))
		return ctl_usage(ctl, "'%s' is no id of a task", word);
	return 0;
}

bool
format_is_int(const char *string, int64_t least, int64_t most)
{
	int64_t number;

	return parse_int(string, &number) && number >= least && number <= most;
}
