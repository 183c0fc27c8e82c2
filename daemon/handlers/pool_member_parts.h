/*
 * What a member of a pool is made of: for pool_member*.c alone.
 */
#ifndef DAEMON_HANDLERS_POOL_MEMBER_PARTS_H
#define DAEMON_HANDLERS_POOL_MEMBER_PARTS_H

#include "common/text.h"
#include "daemon/handlers/pool.h"
#include "daemon/handlers/pool_member.h"
#include "daemon/handlers/pool_message.h"
#include "daemon/handlers/process.h"

enum {
	MEMBER_MAGIC = 0x706d656d,
	MEMBER_LINE_MS = 10000,	 /* of silence in the middle of a line */
	MEMBER_STUCK_MS = 20000, /* that it may leave our words unread */
	MEMBER_LEAVE_MS = 1000,	 /* from SIGTERM, or the end of its socket,
				    to SIGKILL, at most */
	MEMBER_KILL_AGAIN_MS = 5000,
	MEMBER_FULL = 4 << 20,	    /* bytes that wait to be written: no task
				       is added then, */
	MEMBER_FULL_OVER = 2 << 20, /* until so few wait */
};

/* Why we end it. */
enum member_cause {
	CAUSE_NONE,   /* we do not */
	CAUSE_BROKE,  /* it broke the protocol */
	CAUSE_CANCEL, /* a cancelled task of it does not end */
	CAUSE_DRAIN,  /* it is not needed any more */
};

struct member_io {
	int fd; /* -1: closed */
	struct event *readable, *writable;
	struct evbuffer *out;
	struct text in;		  /* a line that has not ended */
	uint64_t queued, written; /* bytes, ever */
	struct mono heard;	  /* when the last bytes came, if `in` */
	struct mono blocked;	  /* since when nothing could be written;
				     us 0: it can */
	bool ended;		  /* the other side has closed it */
	bool finished;		  /* we say nothing more */
};

enum { MEMBER_RECENT = 64 };

struct pool_member_parts {
	uint32_t magic;
	struct process *process;
	int group; /* its number in the scoreboard; -1: none */
	struct member_io io;
	struct event *timer;
	struct mono armed;    /* when the timer fires; us 0: it does not */
	struct mono leave_at; /* the next signal of DRAINING, TOLD, KILLED;
				 us 0: none */
	enum member_cause cause;
	int64_t blame;		       /* cancel: the task */
	struct text wrong;	       /* broke: what it did */
	int64_t recent[MEMBER_RECENT]; /* tasks it has answered of late */
	unsigned recent_count;
};

/* The member that an event or a process belongs to. */
struct pool_member *member_checked(void *argument);

/* pool_member.c */
void member_on_timer(int fd, short what, void *argument);
void member_watch(struct pool_member *member); /* after any change of facts */
void member_ready(struct pool_member *member, const struct pool_message *hello);
void member_signal(
    struct pool_member *member, int signal_number, int64_t next_ms);
/* Ends it at once and says so in the log. */
void member_break(struct pool_member *member, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Its socket was closed by the other side: it gets a moment to end. */
void member_closed(struct pool_member *member);
/* Drained, and the last task is done. */
void member_dismiss(struct pool_member *member);

/* pool_member_io.c */
void member_io_open(struct pool_member *member, int fd);
void member_io_close(struct pool_member *member);
void member_io_stop_reading(struct pool_member *member);
/* What it had said before it ended. */
void member_io_last_words(struct pool_member *member);
void member_io_added(struct pool_member *member, size_t size_before);
void member_io_flush(struct pool_member *member);
/* Nothing more will be said to it, once what waits is written. */
void member_io_finish(struct pool_member *member);

/* pool_answer.c */
struct pool_task *member_find(const struct pool_member *member, int64_t id);
/* Of late. */
bool member_has_answered(const struct pool_member *member, int64_t id);
void member_take_message(
    struct pool_member *member, const struct pool_message *message);

/* pool_member_start.c: the context of what it says */
output_about_cb member_describe;

/* pool_member_end.c */
process_end_cb member_on_end;

#endif
