#include "ctl/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

bool
terminal_is_person(void)
{
	return isatty(STDOUT_FILENO) != 0;
}

static struct winsize
window(void)
{
	struct winsize size = {0};

	if (!terminal_is_person() ||
	    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
		return (struct winsize){0};
	return size;
}

int
terminal_width(void)
{
	int width = window().ws_col;

	return width > 0 || !terminal_is_person() ? width : 80;
}

int
terminal_height(void)
{
	int height = window().ws_row;

	return height > 0 || !terminal_is_person() ? height : 24;
}

bool
terminal_has_colour(void)
{
	const char *no = getenv("NO_COLOR"), *type = getenv("TERM");

	return terminal_is_person() && (no == NULL || *no == '\0') &&
	       type != NULL && strcmp(type, "dumb") != 0;
}

/* One character: its bytes, and its columns in `ret_columns`. */
static size_t
step(const char *at, int *ret_columns)
{
	wchar_t wide;
	size_t bytes = mbrtowc(&wide, at, strlen(at), &(mbstate_t){0});

	*ret_columns = 1;
	if (bytes == 0 || bytes > 8)
		return 1;
	*ret_columns = wcwidth(wide) < 0 ? 1 : wcwidth(wide);
	return bytes;
}

int
terminal_columns(const char *string)
{
	int columns = 0, more;

	while (*string != '\0') {
		string += step(string, &more);
		columns += more;
	}
	return columns;
}

void
terminal_add_cut(struct text *text, const char *string, int columns)
{
	bool whole = terminal_columns(string) <= columns;
	int left = whole ? columns : columns - 1;

	while (*string != '\0') {
		int more;
		size_t bytes = step(string, &more);

		if (more > left)
			break;
		text_add(text, string, bytes);
		string += bytes;
		left -= more;
	}
	if (!whole && columns > 0)
		text_add_string(text, "…");
}

void
terminal_add_bar(struct text *text, size_t done, size_t total)
{
	enum { WIDTH = 30 };
	size_t full = total == 0 ? 0 : done * WIDTH / total;

	for (size_t i = 0; i < WIDTH; i++)
		text_add_string(text, i < full ? "█" : "░");
}

static const struct {
	const char *state, *colour;
} state_colours[] = {
    {"succeeded", "\033[32m"},
    {"running", "\033[36m"},
    {"failed", "\033[31m"},
    {"cancelled", "\033[33m"},
    {"skipped", "\033[33m"},
    {"ready", "\033[34m"},
    {"blocked", "\033[2m"},
    {"scheduled", "\033[2m"},
    {"waiting", "\033[2m"},
    {"arriving", "\033[2m"},
    {"draining", "\033[33m"},
    {"ok", "\033[32m"},
    {"wrong", "\033[31m"},
    {"dead", "\033[31m"},
};

const char *
terminal_state_colour(const char *state)
{
	size_t count = sizeof(state_colours) / sizeof(state_colours[0]);

	for (size_t i = 0; i < count && terminal_has_colour(); i++)
		if (strcmp(state_colours[i].state, state) == 0)
			return state_colours[i].colour;
	return "";
}

const char *
terminal_bold(void)
{
	return terminal_has_colour() ? "\033[1m" : "";
}

const char *
terminal_dim(void)
{
	return terminal_has_colour() ? "\033[2m" : "";
}

const char *
terminal_plain(void)
{
	return terminal_has_colour() ? "\033[0m" : "";
}
