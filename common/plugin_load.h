/* From a plugin's file to its function. */
#ifndef COMMON_PLUGIN_LOAD_H
#define COMMON_PLUGIN_LOAD_H

#include <muster/plugin.h>

#include "common/text.h"

/* The library is never unloaded. NULL with a sentence in `error`. */
muster_run *plugin_load(const char *path, struct text *error);

#endif
