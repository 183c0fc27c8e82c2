#include "common/resolve.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* A resolver that hangs must not fill the process with threads. */
enum { LOOKUPS_MAX = 16, STACK_BYTES = 512 * 1024 };

static atomic_int lookups_running;

/* Shared by the thread and the loop; freed by whoever lets go last. */
struct lookup {
	atomic_int holders;
	char *host;
	int done_fd; /* eventfd, written by the thread */
	int error;   /* of getaddrinfo */
	char addresses[RESOLVE_ADDRESSES][INET6_ADDRSTRLEN];
	size_t count;
};

struct resolve {
	struct lookup *lookup;
	struct event *done;
	resolve_cb *on_done;
	void *argument;
};

bool
resolve_needed(const char *host)
{
	unsigned char address[sizeof(struct in6_addr)];
	return host != NULL && host[0] != '\0' && host[0] != '/' &&
	       host[0] != '@' && inet_pton(AF_INET, host, address) != 1 &&
	       inet_pton(AF_INET6, host, address) != 1;
}

static void
lookup_release(struct lookup *lookup)
{
	if (atomic_fetch_sub(&lookup->holders, 1) != 1)
		return;
	close(lookup->done_fd);
	free(lookup->host);
	free(lookup);
}

static void
collect(struct lookup *lookup, const struct addrinfo *list)
{
	for (; list != NULL && lookup->count < RESOLVE_ADDRESSES;
	     list = list->ai_next) {
		char *to = lookup->addresses[lookup->count];
		if (getnameinfo(list->ai_addr, list->ai_addrlen, to,
			INET6_ADDRSTRLEN, NULL, 0, NI_NUMERICHOST) == 0)
			lookup->count++;
	}
}

static void *
run(void *argument)
{
	struct lookup *lookup = argument;
	struct addrinfo hints = {
	    .ai_family = AF_UNSPEC,
	    .ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *list = NULL;
	lookup->error = getaddrinfo(lookup->host, NULL, &hints, &list);
	if (lookup->error == 0) {
		collect(lookup, list);
		freeaddrinfo(list);
	}
	uint64_t one = 1;
	ssize_t written = write(lookup->done_fd, &one, sizeof one);
	(void)written; /* an eventfd of our own takes a 1 */
	atomic_fetch_sub(&lookups_running, 1);
	lookup_release(lookup);
	return NULL;
}

static bool
start_thread(struct lookup *lookup)
{
	pthread_attr_t attributes;
	if (pthread_attr_init(&attributes) != 0)
		return false;
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_t thread;
	atomic_fetch_add(&lookup->holders, 1);
	atomic_fetch_add(&lookups_running, 1);
	int r = pthread_create(&thread, &attributes, run, lookup);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (r != 0) {
		atomic_fetch_sub(&lookups_running, 1);
		atomic_fetch_sub(&lookup->holders, 1);
	}
	return r == 0;
}

static void
on_readable(evutil_socket_t fd, short what, void *argument)
{
	(void)what;
	struct resolve *resolve = argument;
	struct lookup *lookup = resolve->lookup;
	const char *addresses[RESOLVE_ADDRESSES];
	uint64_t one;
	/* Only reading it, not seeing it readable, puts all that the thread
	 * wrote before what is read here. */
	if (read(fd, &one, sizeof one) != (ssize_t)sizeof one)
		abort();
	for (size_t i = 0; i < lookup->count; i++)
		addresses[i] = lookup->addresses[i];
	const char *reason = lookup->count > 0	  ? NULL
			     : lookup->error != 0 ? gai_strerror(lookup->error)
						  : "no address";
	resolve_cb *on_done = resolve->on_done;
	void *its_argument = resolve->argument;
	size_t count = lookup->count;
	atomic_fetch_add(&lookup->holders, 1);
	resolve_cancel(resolve);
	on_done(addresses, count, reason, its_argument);
	lookup_release(lookup);
}

static struct lookup *
lookup_new(const char *host)
{
	struct lookup *lookup = calloc(1, sizeof *lookup);
	char *copy = strdup(host);
	if (lookup == NULL || copy == NULL)
		abort();
	lookup->host = copy;
	atomic_init(&lookup->holders, 1);
	lookup->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return lookup;
}

struct resolve *
resolve_start(struct event_base *base, const char *host, resolve_cb *on_done,
    void *argument)
{
	if (atomic_load(&lookups_running) >= LOOKUPS_MAX)
		return NULL;
	struct resolve *resolve = calloc(1, sizeof *resolve);
	if (resolve == NULL)
		abort();
	struct lookup *lookup = resolve->lookup = lookup_new(host);
	resolve->on_done = on_done;
	resolve->argument = argument;
	if (lookup->done_fd < 0)
		return resolve_cancel(resolve);
	resolve->done =
	    event_new(base, lookup->done_fd, EV_READ, on_readable, resolve);
	if (resolve->done == NULL || event_add(resolve->done, NULL) < 0 ||
	    !start_thread(lookup))
		return resolve_cancel(resolve);
	return resolve;
}

struct resolve *
resolve_cancel(struct resolve *resolve)
{
	if (resolve == NULL)
		return NULL;
	if (resolve->done != NULL)
		event_free(resolve->done);
	lookup_release(resolve->lookup);
	free(resolve);
	return NULL;
}
