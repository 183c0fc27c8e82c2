#include "common/config_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/cgroup.h"
#include "common/config_collect.h"

/* An answer, either the blob or the errors, is framed: a process that dies in
 * the middle of it leaves none. */
struct header {
	char magic[8];
	uint64_t right, size; /* of what follows */
};

/* Each error, before the NUL-ended caret text. */
struct record {
	struct error error;
	uint64_t caret_size;
};

static const char magic[8] = "answer\1";

/* Far above any answer: a configuration has 1 MB a file. */
#define ANSWER_LIMIT ((off_t)256 << 20)

static void
put_errors(const struct config_errors *errors, struct text *body)
{
	for (size_t i = 0; i < errors->count; i++) {
		const struct error *error = &errors->items[i];
		struct record record = {
		    .caret_size = strlen(errors->carets[i]) + 1};

		error_set(&record.error, "%s", error->text);
		error_place(
		    &record.error, error->file, error->line, error->column);
		text_add(body, &record, sizeof(record));
		text_add(body, errors->carets[i], record.caret_size);
	}
}

static bool
write_all(int fd, const struct text *text)
{
	size_t done = 0;

	while (done < text->length) {
		ssize_t wrote =
		    write(fd, text->data + done, text->length - done);

		if (wrote < 0 && errno != EINTR)
			return false;
		if (wrote > 0)
			done += (size_t)wrote;
	}
	return true;
}

static bool
write_answer(int fd, bool right, const struct text *body)
{
	struct header header = {.right = right, .size = body->length};
	struct text answer = TEXT_EMPTY;
	bool written;

	memcpy(header.magic, magic, sizeof(magic));
	text_add(&answer, &header, sizeof(header));
	text_add(&answer, body->data, body->length);
	written = write_all(fd, &answer);
	text_free(&answer);
	return written;
}

int
config_check_main(const char *file, int output_fd)
{
	struct config_errors errors;
	struct config *config = config_load(file, &errors);
	struct text body = TEXT_EMPTY;
	int status = config != NULL ? EX_OK : EX_CONFIG;

	if (config != NULL)
		config_encode(config, &body);
	else
		put_errors(&errors, &body);
	if (!write_answer(output_fd, config != NULL, &body))
		status = EXIT_FAILURE;
	text_free(&body);
	config_errors_free(&errors);
	config_free(config);
	return status;
}

static bool
read_all(int fd, struct text *text)
{
	char buffer[16384];
	off_t at = 0;
	ssize_t got;

	while (at <= ANSWER_LIMIT) {
		got = pread(fd, buffer, sizeof(buffer), at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got == 0;
		text_add(text, buffer, (size_t)got);
		at += got;
	}
	return false;
}

static bool
get_error(const char **at, const char *end, struct config_errors *errors)
{
	struct record record;

	if ((size_t)(end - *at) < sizeof(record))
		return false;
	memcpy(&record, *at, sizeof(record));
	*at += sizeof(record);
	if (record.caret_size == 0 || record.caret_size > (size_t)(end - *at) ||
	    (*at)[record.caret_size - 1] != '\0')
		return false;
	record.error.file[sizeof(record.error.file) - 1] = '\0';
	record.error.text[sizeof(record.error.text) - 1] = '\0';
	config_errors_add(errors, &record.error, *at);
	*at += record.caret_size;
	return true;
}

static void
add_sentence(struct config_errors *errors, const char *sentence)
{
	struct error error;

	error_set(&error, "%s", sentence);
	config_errors_add(errors, &error, "");
}

/* The body of a whole answer; NULL: it is not whole. */
static const char *
open_answer(const struct text *answer, struct header *ret_header)
{
	if (answer->length < sizeof(*ret_header))
		return NULL;
	memcpy(ret_header, answer->data, sizeof(*ret_header));
	if (memcmp(ret_header->magic, magic, sizeof(magic)) != 0 ||
	    ret_header->size != answer->length - sizeof(*ret_header))
		return NULL;
	return answer->data + sizeof(*ret_header);
}

static struct config *
parse_answer(const struct text *answer, struct text *ret_blob,
    struct config_errors *ret_errors)
{
	struct header header;
	const char *body = open_answer(answer, &header);
	struct config *config = NULL;
	struct error error;
	const char *end;

	if (body == NULL) {
		add_sentence(ret_errors,
		    "the process that checks the configuration ended without "
		    "an answer");
		return NULL;
	}
	if (header.right) {
		config = config_decode(body, header.size, &error);
		if (config == NULL)
			add_sentence(ret_errors, error.text);
		else if (ret_blob != NULL)
			text_add(ret_blob, body, header.size);
		return config;
	}
	for (end = body + header.size; body < end;)
		if (!get_error(&body, end, ret_errors))
			break;
	if (ret_errors->count == 0)
		add_sentence(ret_errors, "the configuration was refused");
	return NULL;
}

struct config *
config_answer_read(
    int fd, struct text *ret_blob, struct config_errors *ret_errors)
{
	struct text answer = TEXT_EMPTY;
	struct config *config = NULL;

	*ret_errors = (struct config_errors){0};
	if (read_all(fd, &answer))
		config = parse_answer(&answer, ret_blob, ret_errors);
	else
		add_sentence(ret_errors,
		    "the answer of the configuration check cannot be read");
	text_free(&answer);
	return config;
}

static int
complain(struct config_errors *errors)
{
	struct text text = TEXT_EMPTY;

	config_errors_print(errors, &text);
	fputs(text_string(&text), stderr);
	text_free(&text);
	config_errors_free(errors);
	return EX_CONFIG;
}

/* Whether the unit delegates cannot be known here. */
static void
warn_of_cgroups(const char *file, const struct config *config)
{
	struct text limits = TEXT_EMPTY;

	if (cgroup_not_kept(config, 0, &limits))
		fprintf(stderr,
		    "%s: warning: %s: kept only where musterd has cgroups of "
		    "its own, which its unit must delegate "
		    "(musterd-delegate.conf)\n",
		    file, text_string(&limits));
	text_free(&limits);
}

int
config_test_main(const char *file)
{
	struct config_errors errors;
	struct config *config = config_load(file, &errors);

	if (config == NULL)
		return complain(&errors);
	warn_of_cgroups(file, config);
	fprintf(stderr, "%s: the configuration is right\n", file);
	config_free(config);
	return EX_OK;
}

int
config_show_main(const char *file)
{
	struct config_errors errors;
	struct config *config = config_load(file, &errors);
	struct text text = TEXT_EMPTY;
	bool written;

	if (config == NULL)
		return complain(&errors);
	config_print(config, &text);
	written = write_all(STDOUT_FILENO, &text);
	text_free(&text);
	config_free(config);
	return written ? EX_OK : EXIT_FAILURE;
}
