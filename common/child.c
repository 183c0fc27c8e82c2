#include "common/child.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

/* FNV-1a, 64 bits. */
static uint64_t
hash_add(uint64_t hash, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		hash =
		    (hash ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
	return hash;
}

static uint64_t
hash_string(uint64_t hash, const char *string)
{
	const char *end = string;
	while (*end)
		end++;
	/* with its NUL: "a" "bc" is not "ab" "c" */
	return hash_add(hash, string, (size_t)(end - string) + 1);
}

static uint64_t
hash_machine(uint64_t hash)
{
	char id[64];
	int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return hash;
	ssize_t length = read(fd, id, sizeof id);
	close(fd);
	return length > 0 ? hash_add(hash, id, (size_t)length) : hash;
}

/*
 * The host's name is part of it: machines made from one image often share
 * their id, and each would take the other's workers for its own dead ones.
 */
const char *
child_instance(const struct config *config)
{
	static char instance[17];
	uint64_t hash = hash_machine(UINT64_C(14695981039346656037));
	struct utsname names;
	if (uname(&names) == 0)
		hash = hash_string(hash, names.nodename);
	hash = hash_string(hash, config->runtime_dir);
	snprintf(
	    instance, sizeof instance, "%016llx", (unsigned long long)hash);
	return instance;
}
