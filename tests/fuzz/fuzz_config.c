/* Configuration files, and the blob of what is right: common/config.h. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/config.h"
#include "tests/fuzz/fuzz.h"

static void
check_right(struct config *config)
{
	struct text blob = TEXT_EMPTY, shown = TEXT_EMPTY;
	struct error error;
	const char *key;
	struct config *same;

	config_print(config, &shown);
	config_encode(config, &blob);
	same = config_decode(blob.data, blob.length, &error);
	MUST(same != NULL);
	MUST(config_compare(config, same, &key) == CONFIG_SAME);
	config_free(same);
	text_free(&blob);
	text_free(&shown);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct config_errors errors;
	struct config *config;
	char file[64];
	int fd = memfd_create("musterd.yaml", MFD_CLOEXEC);

	MUST(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
	snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
	config = config_load(file, &errors);
	MUST((config == NULL) == (errors.count > 0));
	if (config != NULL)
		check_right(config);
	config_errors_free(&errors);
	config_free(config);
	close(fd);
	return 0;
}
