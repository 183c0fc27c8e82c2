/*
 * A conninfo taken apart: the hosts it names and everything else, with the
 * environment's and our own defaults, so that each address is tried by itself.
 */
#ifndef COMMON_PG_CONNINFO_H
#define COMMON_PG_CONNINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct pg_host {
	char *host;	/* name, address, path; NULL: libpq's default */
	char *hostaddr; /* given beside it; NULL: none */
	char *port;	/* NULL: libpq's default */
};

struct pg_conninfo {
	struct pg_host *hosts;
	size_t host_count;
	/* For PQconnectStartParams: `count` set, and room for host, hostaddr,
	 * port and the NULL at the end. */
	char **keywords;
	char **values;
	size_t count;
	int64_t connect_timeout_ms; /* 0: not given */
	bool any_session;	    /* a standby will do */
};

/* Reads environment and service file, as libpq does. NULL with `error` filled
 * when the text is no conninfo. */
struct pg_conninfo *pg_conninfo_new(
    const char *text, const char *application_name, struct error *error);
/* Whether pg_conninfo_new would take the text and libpq every value in it, as
 * far as it can tell without a server; `error` may quote what stands there. */
bool pg_conninfo_check(const char *text, struct error *error);
struct pg_conninfo *pg_conninfo_free(struct pg_conninfo *info);

#endif
