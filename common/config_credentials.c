/* Where systemd keeps a service's credentials, for who stands outside it. */
#include <string.h>
#include <sys/stat.h>

#include "common/config_load.h"

static bool
is_in(const char *file, const char *folder)
{
	struct text path = TEXT_EMPTY;
	struct stat here, there;
	const char *slash = strrchr(file, '/');
	bool same;

	if (slash == NULL)
		text_add_char(&path, '.');
	else
		text_add(&path, file, (size_t)(slash - file) + 1);
	same = stat(text_string(&path), &here) == 0 &&
	       stat(folder, &there) == 0 && here.st_dev == there.st_dev &&
	       here.st_ino == there.st_ino;
	text_free(&path);
	return same;
}

bool
config_unit_of(const char *file, const char *folder, struct text *ret_unit)
{
	const char *slash = strrchr(file, '/');
	const char *name = slash == NULL ? file : slash + 1;
	const char *end = strrchr(name, '.');

	if (end == NULL || end == name || strcmp(end, ".yaml") != 0 ||
	    !is_in(file, folder))
		return false;
	if (strcmp(name, "musterd.yaml") == 0)
		text_add_string(ret_unit, "musterd.service");
	else
		text_addf(
		    ret_unit, "musterd@%.*s.service", (int)(end - name), name);
	return true;
}
