#include "ctl/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/config.h"
#include "common/config_check.h"

#define DEFAULT_FILE SYSCONFDIR "/musterd/musterd.yaml"
#define DEFAULT_RUNTIME_DIR "/run/musterd"

const char *
settings_file(const struct ctl *ctl)
{
	const char *file = ctl_option(ctl, "config");

	if (file == NULL)
		file = getenv("MUSTERD_CONFIG");
	return file != NULL && *file != '\0' ? file : DEFAULT_FILE;
}

int
settings_load(struct ctl *ctl)
{
	struct config_errors errors = {0};
	struct text told = TEXT_EMPTY;

	if (ctl->config != NULL)
		return 0;
	ctl->config = config_load(settings_file(ctl), &errors);
	if (ctl->config == NULL) {
		config_errors_print(&errors, &told);
		fputs(text_string(&told), stderr);
	}
	config_errors_free(&errors);
	text_free(&told);
	return ctl->config != NULL ? 0 : CTL_CONFIG;
}

int
settings_database(struct ctl *ctl, const char **ret_conninfo)
{
	int code = settings_load(ctl);

	if (code != 0)
		return code;
	if (ctl->config->database == NULL)
		return ctl_fail(CTL_CONFIG,
		    "%s names no database; give --database",
		    settings_file(ctl));
	*ret_conninfo = ctl->config->database;
	return 0;
}

bool
settings_are_wrong(const struct ctl *ctl)
{
	return ctl->config == NULL && access(settings_file(ctl), F_OK) == 0;
}

/*
 * What a file that is refused, or may not be read, still says: the daemon
 * that runs must be reachable then above all, to tell what is wrong.
 */
static char *
find_runtime_dir(const char *file)
{
	FILE *stream = fopen(file, "re");
	char *line = NULL, *found = NULL;
	size_t size = 0;

	while (stream != NULL && getline(&line, &size, stream) > 0) {
		free(found);
		if (sscanf(line, "runtime_dir: %m[^\"' #\n]", &found) == 1 ||
		    sscanf(line, "runtime_dir: \"%m[^\"]", &found) == 1 ||
		    sscanf(line, "runtime_dir: '%m[^']", &found) == 1)
			break;
		found = NULL;
	}
	if (stream != NULL)
		fclose(stream);
	free(line);
	return found;
}

int
settings_control_path(struct ctl *ctl, struct text *ret_path)
{
	const char *file = settings_file(ctl), *directory = NULL;
	struct config_errors errors = {0};
	char *found = NULL;

	if (ctl_option(ctl, "database") == NULL && access(file, F_OK) != 0 &&
	    errno == ENOENT)
		return settings_load(ctl); /* which says so */
	if (ctl->config == NULL)
		ctl->config = config_load(file, &errors);
	config_errors_free(&errors);
	if (ctl->config != NULL)
		directory = ctl->config->runtime_dir;
	else
		directory = found = find_runtime_dir(file);
	if (directory == NULL) /* systemd tells it a unit's commands */
		directory = getenv("RUNTIME_DIRECTORY");
	text_addf(ret_path, "%s/control.sock",
	    directory != NULL ? directory : DEFAULT_RUNTIME_DIR);
	free(found);
	return 0;
}
