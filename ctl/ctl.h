/*
 * What every verb of musterctl is handed, and how a verb is described. One
 * table of verbs (verbs.c) drives the dispatch, the help, the completion and
 * the manual page.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/options.h"

struct config;
struct pg_conn;

enum ctl_exit {
	CTL_DONE = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_AGAIN = 75,	 /* a server is away */
	CTL_CONFIG = 78, /* configuration or schema */
	CTL_INTERRUPTED = 130,
};

enum { CTL_LIMIT_MS = 60000 };

/* One call of musterctl. */
struct ctl {
	const struct verb *verb;
	struct options options; /* of the verb and global */
	struct config *config;	/* owned; NULL until ctl_config */
	struct pg_conn *pg;	/* owned; libpq's; NULL until connected */
	int64_t limit_ms;	/* --time-limit; 0: not given, CTL_LIMIT_MS */
};

struct verb {
	const char *name;
	const char *help;	      /* one line */
	const char *usage;	      /* what follows the name */
	const char *examples;	      /* lines: "command  # what it does" */
	const struct option *options; /* ends with an empty one; NULL: none */
	int least, most;	      /* positional arguments; -1: any */
	int (*run)(struct ctl *ctl);  /* returns the exit code */
};

/* Ends with an empty one. */
extern const struct verb verbs[];
/* Options that every verb takes. */
extern const struct option global_options[];

/* NULL when there is none. */
const struct verb *verb_find(const char *name);
/* The verb whose name is nearest to a mistyped one; NULL: none is near. */
const struct verb *verb_nearest(const char *name);

/* Prints "musterctl: …" on standard error (control characters escaped) and
 * returns `code`, so that a verb can end with it. */
int ctl_fail(int code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* While quiet, ctl_fail says nothing: something is tried again and again. */
void ctl_set_quiet(bool quiet);
/* "musterctl VERB: …, see --help"; returns CTL_USAGE. */
int ctl_usage(const struct ctl *ctl, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The value of an option of the verb, "" for a flag, NULL when not given. */
const char *ctl_option(const struct ctl *ctl, const char *name);
bool ctl_json(const struct ctl *ctl);
/* How long to wait for one answer of a server: as --time-limit says, otherwise
 * `usual_ms`. */
int64_t ctl_limit_ms(const struct ctl *ctl, int64_t usual_ms);
/* The positional argument number `index`, NULL when not given. */
const char *ctl_argument(const struct ctl *ctl, int index);

#endif
