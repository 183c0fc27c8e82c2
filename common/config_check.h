/*
 * Checking a configuration in a process of its own, so that reading a file can
 * neither hang nor crash the supervisor: `musterd --role=config-check` writes
 * its answer into a memfd; the supervisor reads it after that process ended.
 */
#ifndef COMMON_CONFIG_CHECK_H
#define COMMON_CONFIG_CHECK_H

#include "common/config.h"
#include "common/text.h"

/* Loads `file` and writes the answer to `output_fd`. Returns the exit code:
 * 0 right, 78 wrong, 1 the answer could not be written. */
int config_check_main(const char *file, int output_fd);

/*
 * Reads the answer in the memfd `fd`, from its start. Right: the configuration
 * (the caller frees it) and in `ret_blob`, if not NULL, the blob for children.
 * Wrong: NULL and the errors; also when there is no whole answer, because the
 * process was killed or died. Never blocks.
 */
struct config *config_answer_read(
    int fd, struct text *ret_blob, struct config_errors *ret_errors);

/* musterd -t: errors and carets to standard error, else one line that all is
 * right. musterd -T: the merged configuration to standard output. Both return
 * the exit code. */
int config_test_main(const char *file);
int config_show_main(const char *file);

/* Writes each error with its caret lines as text for a terminal. */
void config_errors_print(
    const struct config_errors *errors, struct text *ret_text);

#endif
