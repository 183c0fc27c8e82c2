/* Keeping passwords out of what people and logs see. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "common/config_table.h"

/* Where a token ends that holds no blanks or quotes. */
static size_t
token_length(const char *at)
{
	return strcspn(at, " \t\r\n\"'");
}

/* At "password" or "sslpassword" as a keyword: its length with the = and the
 * blanks around it; 0: it is none. */
static size_t
keyword_length(const char *start, const char *at)
{
	static const char *const words[] = {"password", "sslpassword"};

	if (at > start && (isalnum((unsigned char)at[-1]) || at[-1] == '_'))
		return 0;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t length = strlen(words[i]);

		if (strncasecmp(at, words[i], length) != 0)
			continue;
		length += strspn(at + length, " \t");
		if (at[length] != '=')
			continue;
		length++;
		return length + strspn(at + length, " \t");
	}
	return 0;
}

/* Whether the @ belongs to a query's password=… */
static bool
in_query(const char *start, const char *at_sign)
{
	const char *at = at_sign;

	while (at > start && *at != '&' && *at != '?')
		at--;
	return keyword_length(start, at + 1) > 0;
}

/*
 * Behind "://": the password stands between the first colon and the last @;
 * it may hold any character if someone forgot to encode it, so more is hidden
 * than need be rather than less. Returns how many bytes were dealt with.
 */
static size_t
hide_userinfo(const char *at, struct text *ret_text)
{
	size_t length = token_length(at);
	const char *at_sign = NULL, *colon;

	for (size_t i = 0; i < length; i++)
		if (at[i] == '@')
			at_sign = at + i;
	if (at_sign == NULL)
		return 0;
	colon = memchr(at, ':', (size_t)(at_sign - at));
	if (colon == NULL)
		return 0;
	text_add(ret_text, at, (size_t)(colon - at) + 1);
	text_add_string(ret_text, "***");
	if (in_query(at, at_sign))
		at_sign += strcspn(at_sign, "& \t\r\n\"'");
	return (size_t)(at_sign - at);
}

/* The length of a value behind "password=". */
static size_t
value_length(const char *at, bool query)
{
	size_t i = 1;

	if (query)
		return strcspn(at, "& \t\r\n\"'");
	if (at[0] != '\'') {
		for (i = 0; at[i] != '\0' && !isspace((unsigned char)at[i]);
		     i++)
			if (at[i] == '\\' && at[i + 1] != '\0')
				i++;
		return i;
	}
	for (; at[i] != '\0' && at[i] != '\''; i++)
		if (at[i] == '\\' && at[i + 1] != '\0')
			i++;
	return at[i] == '\'' ? i + 1 : i;
}

static size_t
hide_keyword(const char *start, const char *at, struct text *ret_text)
{
	size_t length = keyword_length(start, at);
	bool query = at > start && (at[-1] == '&' || at[-1] == '?');

	if (length == 0)
		return 0;
	text_add(ret_text, at, length);
	text_add_string(ret_text, "***");
	return length + value_length(at + length, query);
}

void
config_hide_password(const char *conninfo, struct text *ret_text)
{
	const char *at = conninfo;

	while (*at != '\0') {
		size_t done = hide_keyword(conninfo, at, ret_text);

		if (done == 0 && strncmp(at, "://", 3) == 0) {
			text_add_string(ret_text, "://");
			done = 3 + hide_userinfo(at + 3, ret_text);
		}
		if (done == 0) {
			text_add_char(ret_text, *at);
			done = 1;
		}
		at += done;
	}
}

bool
config_names_secret(const char *bytes, size_t length)
{
	static const char *const words[] = {"password", "passwd", "secret",
	    "token", "_key", "-key", "apikey", "authorization", "cookie"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t word = strlen(words[i]);

		for (size_t at = 0; at + word <= length; at++)
			if (strncasecmp(bytes + at, words[i], word) == 0)
				return true;
	}
	return false;
}
