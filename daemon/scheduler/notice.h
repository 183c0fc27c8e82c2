/*
 * Notifications on the channel `muster`: hints, never facts. What is not
 * understood is none.
 *
 *	ready <queue> <n>	n tasks of a queue became ready
 *	work			there is something for a scheduler
 *	request			a person waits for it
 *	cancel <worker>		this worker is to take a turn soon
 */
#ifndef DAEMON_SCHEDULER_NOTICE_H
#define DAEMON_SCHEDULER_NOTICE_H

#include <stdint.h>

enum notice_kind {
	NOTICE_NONE,
	NOTICE_READY,
	NOTICE_WORK,
	NOTICE_REQUEST,
	NOTICE_CANCEL
};

struct notice {
	enum notice_kind kind;
	int64_t count;	/* NOTICE_READY: at least 1 */
	int64_t worker; /* NOTICE_CANCEL */
};

struct notice notice_parse(const char *payload);

#endif
