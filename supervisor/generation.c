#include "supervisor/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

/*
 * From /etc/group alone: the name service may ask the network, and the
 * supervisor waits for nobody. A number is taken as it is.
 */
static gid_t
group_find(const char *name)
{
	char *end;
	unsigned long number = strtoul(name, &end, 10);
	if (*name && !*end)
		return (gid_t)number;
	gid_t found = (gid_t)-1;
	FILE *file = fopen("/etc/group", "re");
	struct group group, *entry;
	char buffer[16384];
	while (file && found == (gid_t)-1 &&
	       fgetgrent_r(file, &group, buffer, sizeof buffer, &entry) == 0)
		if (strcmp(entry->gr_name, name) == 0)
			found = entry->gr_gid;
	if (file)
		fclose(file);
	if (found == (gid_t)-1)
		log_warning("admin_group: no group '%s' in /etc/group; only "
			    "root and the service user may change anything",
		    name);
	return found;
}

static bool
write_all(int fd, const char *bytes, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t written = write(fd, bytes + done, length - done);
		if (written <= 0)
			return false;
		done += (size_t)written;
	}
	return true;
}

static int
blob_file(const struct text *blob)
{
	int fd =
	    memfd_create("musterd-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -1;
	if (!write_all(fd, blob->data, blob->length) ||
	    fcntl(fd, F_ADD_SEALS,
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

struct generation *
generation_new(uint64_t number, struct config *config, const struct text *blob)
{
	int fd = blob_file(blob);
	struct generation *generation = calloc(1, sizeof *generation);
	if (fd < 0 || !generation) {
		if (fd >= 0)
			close(fd);
		free(generation);
		config_free(config);
		return NULL;
	}
	generation->number = number;
	generation->config = config;
	generation->fd = fd;
	generation->loaded_us = wall_now_us();
	generation->users = 1;
	generation->admin_group =
	    config->admin_group ? group_find(config->admin_group) : (gid_t)-1;
	return generation;
}

struct generation *
generation_use(struct generation *generation)
{
	if (generation)
		generation->users++;
	return generation;
}

struct generation *
generation_drop(struct generation *generation)
{
	if (!generation || --generation->users > 0)
		return NULL;
	config_free(generation->config);
	close(generation->fd);
	free(generation);
	return NULL;
}
