/* From files to a checked configuration. */
#include "common/config_load.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The files of a load: sources live as long as the trees that show in them. */
struct files {
	struct yaml_source **sources;
	struct yaml_node **trees; /* NULL: no YAML */
	size_t count;
	bool incomplete; /* one could not be read, or not to its end */
};

__attribute__((format(printf, 5, 0))) static void
complain_at(struct config_loader *loader, const struct yaml_node *node,
    int line, int column, const char *format, va_list arguments)
{
	struct error error;
	char text[sizeof(error.text)];

	vsnprintf(text, sizeof(text), format, arguments);
	error_set(&error, "%s", text);
	error_place(&error, node->source->name, line, column);
	config_collect(&loader->collector, node->source, &error);
}

void
config_complain_key(struct config_loader *loader, const struct yaml_node *node,
    const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain_at(
	    loader, node, node->key_line, node->key_column, format, arguments);
	va_end(arguments);
}

void
config_complain(struct config_loader *loader, const struct yaml_node *node,
    const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain_at(loader, node, node->line, node->column, format, arguments);
	va_end(arguments);
}

static void
add_file(struct files *files, struct yaml_source *source,
    struct config_loader *loader)
{
	struct yaml_reporter reporter = {
	    config_collect_report, &loader->collector};
	size_t count = files->count + 1;

	files->sources =
	    reallocarray(files->sources, count, sizeof(files->sources[0]));
	files->trees =
	    reallocarray(files->trees, count, sizeof(files->trees[0]));
	if (files->sources == NULL || files->trees == NULL)
		abort();
	source->number = (int)files->count;
	files->sources[files->count] = source;
	files->trees[files->count] = yaml_tree_read(source, &reporter);
	files->incomplete |= files->trees[files->count] == NULL;
	files->count = count;
}

static void
read_file(struct files *files, const char *file, struct config_loader *loader)
{
	struct error error;
	struct yaml_source *source = yaml_source_read(file, &error);

	if (source != NULL) {
		add_file(files, source, loader);
		return;
	}
	files->incomplete = true;
	config_collect(&loader->collector, NULL, &error);
}

static int
is_fragment(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return entry->d_name[0] != '.' && length > 5 &&
	       strcmp(entry->d_name + length - 5, ".yaml") == 0;
}

static int
compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void
read_directory(
    struct files *files, const char *directory, struct config_loader *loader)
{
	struct dirent **entries = NULL;
	int count = scandir(directory, &entries, is_fragment, compare_names);
	struct error error;

	if (count < 0 && errno != ENOENT) {
		error_set(&error, "cannot be read: %s", strerror(errno));
		error_place(&error, directory, 0, 0);
		config_collect(&loader->collector, NULL, &error);
	}
	for (int i = 0; i < count; i++) {
		struct text path = TEXT_EMPTY;

		text_addf(&path, "%s/%s", directory, entries[i]->d_name);
		read_file(files, text_string(&path), loader);
		text_free(&path);
		free(entries[i]);
	}
	free(entries);
}

static void
read_files(struct files *files, const char *file, struct config_loader *loader)
{
	const char *slash = strrchr(file, '/');
	int folder = slash == NULL ? 0 : (int)(slash - file + 1);
	struct text directory = TEXT_EMPTY;

	read_file(files, file, loader);
	text_addf(&directory, "%.*sconf.d", folder, file);
	read_directory(files, text_string(&directory), loader);
	text_free(&directory);
}

static void
free_files(struct files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		yaml_tree_free(files->trees[i]);
		yaml_source_free(files->sources[i]);
	}
	free(files->trees);
	free(files->sources);
}

static void
read_trees(struct config_loader *loader, const struct files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		const struct yaml_node *tree = files->trees[i];

		if (tree == NULL || tree->shape == YAML_BROKEN ||
		    yaml_is_empty(tree))
			continue;
		if (loader->root == NULL)
			loader->root = tree;
		if (tree->shape == YAML_MAP)
			config_read_section(
			    loader, &config_section_top, loader->config, tree);
		else
			config_complain(
			    loader, tree, "not a map of keys and values");
	}
}

static void
free_places(struct config_loader *loader)
{
	for (size_t i = 0; i < loader->place_count; i++)
		free(loader->places[i].name);
	free(loader->places);
}

/* Cross checks of files that could not all be read would find what is only
 * missing from them. */
static void
load(struct config_loader *loader, const char *file,
    struct config_errors *ret_errors)
{
	struct files files = {0};

	config_section_defaults(&config_section_top, loader->config);
	read_files(&files, file, loader);
	read_trees(loader, &files);
	if (!files.incomplete)
		config_settle(loader, file);
	config_collector_end(&loader->collector, ret_errors);
	free_files(&files);
}

struct config *
config_load(const char *file, struct config_errors *ret_errors)
{
	struct config_loader loader = {.file = file};

	*ret_errors = (struct config_errors){0};
	loader.config = calloc(1, sizeof(*loader.config));
	if (loader.config == NULL)
		abort();
	load(&loader, file, ret_errors);
	free_places(&loader);
	if (ret_errors->count > 0)
		loader.config = config_free(loader.config);
	return loader.config;
}
