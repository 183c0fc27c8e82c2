#include "tests/unit/config_fixture.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/text.h"

/* A folder of its own for each test, with musterd.yaml and conf.d. */
char fixture_folder[64], fixture_file[96];
struct config *fixture_config;
struct config_errors fixture_errors;

void
fixture_setup(void)
{
	char path[96];

	snprintf(
	    fixture_folder, sizeof(fixture_folder), "/tmp/test_config.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(fixture_folder));
	snprintf(fixture_file, sizeof(fixture_file), "%s/musterd.yaml",
	    fixture_folder);
	snprintf(path, sizeof(path), "%s/conf.d", fixture_folder);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	unsetenv("CREDENTIALS_DIRECTORY");
}

void
fixture_teardown(void)
{
	char command[128];
	static const char *const names[] = {"musterd.yaml", "conf.d/10.yaml",
	    "conf.d/20.yaml", "conf.d/30.yml", "conf.d/.40.yaml", "conf.d", ""};

	fixture_config = config_free(fixture_config);
	config_errors_free(&fixture_errors);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(command, sizeof(command), "%s/%s", fixture_folder,
		    names[i]);
		remove(command);
	}
}

void
fixture_write(const char *name, const char *text)
{
	char path[128];
	FILE *stream;

	snprintf(path, sizeof(path), "%s/%s", fixture_folder, name);
	stream = fopen(path, "w");
	ck_assert_ptr_nonnull(stream);
	fputs(text, stream);
	fclose(stream);
}

/* Every error as "name:line:column text", without the folder. */
char *
fixture_all_errors(void)
{
	struct text text = TEXT_EMPTY;

	for (size_t i = 0; i < fixture_errors.count; i++) {
		const struct error *error = &fixture_errors.items[i];
		size_t skip = strlen(fixture_folder) + 1;

		text_addf(&text, "%s:%d:%d %s\n",
		    strncmp(error->file, fixture_folder, skip - 1) == 0
			? error->file + skip
			: error->file,
		    error->line, error->column, error->text);
	}
	return text_steal(&text);
}

void
fixture_load(const char *text)
{
	char *found;

	fixture_write("musterd.yaml", text);
	fixture_config = config_load(fixture_file, &fixture_errors);
	found = fixture_all_errors();
	ck_assert_msg(
	    fixture_config != NULL && fixture_errors.count == 0, "%s", found);
	free(found);
}

void
fixture_refuse(const char *text, const char *wanted)
{
	char *found;

	fixture_write("musterd.yaml", text);
	fixture_config = config_load(fixture_file, &fixture_errors);
	found = fixture_all_errors();
	ck_assert_ptr_null(fixture_config);
	ck_assert_str_eq(found, wanted);
	free(found);
	config_errors_free(&fixture_errors);
}
