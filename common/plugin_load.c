#include "common/plugin_load.h"

#include <dlfcn.h>

/* Never unloaded: threads may have left things of the library's behind. */
muster_run *
plugin_load(const char *path, struct text *error)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	const struct muster_plugin *plugin;

	text_clear(error);
	if (library == NULL) {
		text_add_string(error, dlerror());
		return NULL;
	}
	plugin = dlsym(library, "muster_plugin");
	if (plugin == NULL)
		text_addf(
		    error, "%s is no plugin: it has no muster_plugin", path);
	else if (plugin->abi != MUSTER_PLUGIN_ABI)
		text_addf(error,
		    "%s is a plugin of version %u, and this musterd takes "
		    "version %d: build it anew with its muster/plugin.h",
		    path, plugin->abi, MUSTER_PLUGIN_ABI);
	else if (plugin->run == NULL)
		text_addf(error, "%s is no plugin: it has no function", path);
	else
		return plugin->run;
	(void)dlclose(library); /* it stays; only the count goes down */
	return NULL;
}
