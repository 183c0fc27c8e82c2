/* JSON as text: payloads and results are handed on as they were written. */
#ifndef COMMON_JSON_TEXT_H
#define COMMON_JSON_TEXT_H

#include <stddef.h>

enum json_text {
	JSON_TEXT_NONE,	 /* no JSON (RFC 8259) */
	JSON_TEXT_UNFIT, /* JSON that jsonb does not take */
	JSON_TEXT_FIT,
};

/*
 * What the bytes, valid UTF-8, are: one JSON value, with white space around it
 * or not, and whether PostgreSQL's jsonb can keep it. If not, `ret_why` says
 * what is wrong (a static string: "holds …"). How deeply it is
 * nested is not judged: what a server takes depends on its stack.
 */
enum json_text json_text_judge(
    const char *bytes, size_t length, const char **ret_why);

#endif
