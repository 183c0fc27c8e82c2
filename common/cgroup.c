#include "common/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static const struct {
	const char *name;
	unsigned bit;
} controllers[] = {
    {"memory", CGROUP_MEMORY},
    {"cpu", CGROUP_CPU},
    {"pids", CGROUP_PIDS},
};

enum {
	CONTROLLERS = sizeof(controllers) / sizeof(controllers[0]),
	FILE_BYTES = 64 << 10
};

static int
open_file(const char *folder, const char *file, int flags)
{
	struct text path = TEXT_EMPTY;
	int fd;

	text_addf(&path, "%s/%s", folder, file);
	fd = open(text_string(&path), flags | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		fd = -errno;
	text_free(&path);
	return fd;
}

/* False: it can't be read. At most FILE_BYTES. */
static bool
read_file(const char *folder, const char *file, struct text *ret_text)
{
	static char buffer[FILE_BYTES];
	int fd = open_file(folder, file, O_RDONLY);
	ssize_t length = -1;

	if (fd < 0)
		return false;
	while (ret_text->length < FILE_BYTES &&
	       (length = read(fd, buffer, sizeof(buffer))) > 0)
		text_add(ret_text, buffer, (size_t)length);
	close(fd);
	return length >= 0;
}

/* Where the tree of version 2 is mounted: the fifth field, before " - cgroup2
 * "; the first of them shows the whole. */
static bool
find_mount(struct text *ret_path)
{
	struct text mounts = TEXT_EMPTY;
	char *rest, *line;

	if (!read_file("/proc/self", "mountinfo", &mounts))
		return false;
	rest = mounts.data;
	while ((line = strsep(&rest, "\n")) != NULL) {
		char place[512];

		if (strstr(line, " - cgroup2 ") != NULL &&
		    sscanf(line, "%*s %*s %*s %*s %511s", place) == 1) {
			text_add_string(ret_path, place);
			break;
		}
	}
	text_free(&mounts);
	return ret_path->length > 0;
}

/* The line "0::/path" is that of version 2. */
static bool
find_own(struct text *ret_path)
{
	struct text text = TEXT_EMPTY;
	char *rest, *line;
	bool found = false;

	if (!find_mount(ret_path) ||
	    !read_file("/proc/self", "cgroup", &text) || text.length == 0) {
		text_free(&text);
		return false;
	}
	rest = text.data;
	while (!found && (line = strsep(&rest, "\n")) != NULL)
		if (strncmp(line, "0::/", 4) == 0) {
			text_add_string(ret_path, line + 3);
			found = true;
		}
	text_free(&text);
	return found;
}

/* systemd marks what it has handed over. */
static bool
is_ours(const char *folder)
{
	char mark[4] = "";

	return getxattr(folder, "user.delegate", mark, sizeof(mark)) == 1 &&
	       mark[0] == '1' && access(folder, W_OK) == 0;
}

bool
cgroup_unit(struct text *ret_path)
{
	static const char leaf[] = "/supervisor";
	size_t length = sizeof(leaf) - 1;

	text_clear(ret_path);
	if (!find_own(ret_path))
		return false;
	if (ret_path->length > length &&
	    strcmp(ret_path->data + ret_path->length - length, leaf) == 0) {
		ret_path->length -= length;
		ret_path->data[ret_path->length] = '\0';
	}
	return is_ours(text_string(ret_path));
}

static bool
has_word(const char *words, const char *word)
{
	size_t length = strlen(word);

	while (*words != '\0') {
		size_t own = strcspn(words, " \n");

		if (own == length && strncmp(words, word, length) == 0)
			return true;
		words += own;
		words += strspn(words, " \n");
	}
	return false;
}

static unsigned
read_controllers(const char *folder, const char *file)
{
	struct text text = TEXT_EMPTY;
	unsigned bits = 0;

	(void)read_file(folder, file, &text); /* none, then */
	for (int i = 0; i < CONTROLLERS; i++)
		if (has_word(text_string(&text), controllers[i].name))
			bits |= controllers[i].bit;
	text_free(&text);
	return bits;
}

unsigned
cgroup_controllers(const char *folder, bool enable)
{
	unsigned can =
	    enable ? read_controllers(folder, "cgroup.controllers") : 0;

	for (int i = 0; i < CONTROLLERS; i++) {
		char word[16];

		if ((can & controllers[i].bit) == 0)
			continue;
		(void)snprintf(word, sizeof(word), "+%s", controllers[i].name);
		/* what fails is missing below */
		(void)!cgroup_write(folder, "cgroup.subtree_control", word);
	}
	return read_controllers(folder, "cgroup.subtree_control");
}

int
cgroup_write(const char *folder, const char *file, const char *value)
{
	int fd = open_file(folder, file, O_WRONLY);
	int r = 0;

	if (fd < 0)
		return fd;
	if (write(fd, value, strlen(value)) < 0)
		r = -errno;
	close(fd);
	return r;
}

long long
cgroup_read(const char *folder, const char *file, const char *word)
{
	struct text text = TEXT_EMPTY;
	size_t length = strlen(word);
	long long number = 0;
	char *rest, *line;

	if (read_file(folder, file, &text) && text.length > 0) {
		rest = text.data;
		while ((line = strsep(&rest, "\n")) != NULL)
			if (strncmp(line, word, length) == 0 &&
			    line[length] == ' ')
				number = strtoll(line + length, NULL, 10);
	}
	text_free(&text);
	return number;
}

pid_t *
cgroup_processes(const char *folder)
{
	struct text text = TEXT_EMPTY;
	size_t count = 0;
	pid_t *pids;
	const char *at;
	char *end;

	(void)read_file(folder, "cgroup.procs", &text); /* none, then */
	/* a line has a digit at least */
	pids = calloc(text.length / 2 + 1, sizeof(*pids));
	if (pids == NULL)
		abort();
	for (at = text_string(&text); *at != '\0'; at = end) {
		pid_t pid = (pid_t)strtol(at, &end, 10);

		if (pid <= 0)
			break;
		pids[count++] = pid;
	}
	text_free(&text);
	return pids;
}

/* Before Linux 5.14. What they start meanwhile is met the next time. */
static void
kill_each(const char *folder)
{
	pid_t *pids = cgroup_processes(folder);

	for (const pid_t *pid = pids; *pid != 0; pid++)
		(void)kill(*pid, SIGKILL);
	free(pids);
}

/* Calls `see` with each folder in one; false if it was for one of them. */
static bool
each_below(const char *folder,
    bool (*see)(const char *path, const char *name, void *argument),
    void *argument)
{
	DIR *entries = opendir(folder);
	struct dirent *entry;
	bool all = true;

	while (entries != NULL && (entry = readdir(entries)) != NULL) {
		struct text path = TEXT_EMPTY;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		text_addf(&path, "%s/%s", folder, entry->d_name);
		all = see(text_string(&path), entry->d_name, argument) && all;
		text_free(&path);
	}
	if (entries != NULL)
		closedir(entries);
	return all;
}

static bool
kill_below(const char *path, const char *name, void *argument)
{
	(void)name, (void)argument;
	kill_each(path);
	return each_below(path, kill_below, NULL);
}

void
cgroup_kill(const char *folder)
{
	if (cgroup_write(folder, "cgroup.kill", "1") == -ENOENT &&
	    access(folder, F_OK) == 0)
		(void)kill_below(folder, "", NULL);
}

static bool
remove_below(const char *path, const char *name, void *argument)
{
	(void)name, (void)argument;
	return cgroup_remove(path);
}

bool
cgroup_remove(const char *folder)
{
	if (rmdir(folder) == 0 || errno == ENOENT)
		return true;
	if (errno != EBUSY && errno != ENOTEMPTY)
		return false;
	(void)each_below(folder, remove_below, NULL); /* the next line tells */
	return rmdir(folder) == 0 || errno == ENOENT;
}

static const char worker_prefix[] = "worker.";

void
cgroup_worker_folder(const char *unit, pid_t worker, struct text *ret_path)
{
	text_clear(ret_path);
	text_addf(ret_path, "%s/tasks/%s%d", unit, worker_prefix, (int)worker);
}

struct sweep {
	bool (*lives)(pid_t worker, void *argument);
	void *argument;
};

static bool
sweep_one(const char *path, const char *name, void *argument)
{
	const struct sweep *sweep = argument;
	size_t length = sizeof(worker_prefix) - 1;

	if (strncmp(name, worker_prefix, length) != 0 ||
	    sweep->lives(
		(pid_t)strtol(name + length, NULL, 10), sweep->argument))
		return true;
	cgroup_kill(path);
	return cgroup_remove(path);
}

bool
cgroup_sweep(const char *unit, bool (*lives)(pid_t worker, void *argument),
    void *argument)
{
	struct sweep sweep = {.lives = lives, .argument = argument};
	struct text tasks = TEXT_EMPTY;
	bool clean;

	text_addf(&tasks, "%s/tasks", unit);
	clean = each_below(text_string(&tasks), sweep_one, &sweep);
	text_free(&tasks);
	return clean;
}

static void
add_kind(struct text *text, const char *limit, const char *kind)
{
	text_addf(
	    text, "%s%s of %s", text->length > 0 ? ", " : "", limit, kind);
}

bool
cgroup_not_kept(
    const struct config *config, unsigned kept, struct text *ret_text)
{
	for (size_t i = 0; i < config->handler_count; i++) {
		const struct handler_config *handler = &config->handlers[i];

		if (handler->cpu_max > 0 && (kept & CGROUP_CPU) == 0)
			add_kind(ret_text, "cpu_max", handler->kind);
		if (handler->pids_max > 0 && (kept & CGROUP_PIDS) == 0)
			add_kind(ret_text, "pids_max", handler->kind);
	}
	return ret_text->length > 0;
}
