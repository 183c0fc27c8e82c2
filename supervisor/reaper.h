/*
 * The end of processes. A process that the supervisor started is watched; the
 * watcher hears of its end before it is reaped, while its pid and those of the
 * handlers it leaves behind cannot be used again. All others are orphans that
 * a dead child left to its subreaper, us: they are killed, and reaped, until
 * none is left. Children that were there before the supervisor (a pipeline's
 * of the shell that became it) are left alone.
 */
#ifndef SUPERVISOR_REAPER_H
#define SUPERVISOR_REAPER_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

struct event_base;
struct reaper;
struct scoreboard;

/* Makes this process a subreaper; listens to SIGCHLD. One a process.
 * `on_clean` is called whenever reaper_is_clean has become true. */
struct reaper *reaper_new(
    struct event_base *base, void (*on_clean)(void *argument), void *argument);
struct reaper *reaper_free(struct reaper *reaper); /* NULL ok; NULL */

/* `info` as waitid gives it. The watch ends with the call. */
typedef void reaper_cb(const siginfo_t *info, void *argument);
void reaper_watch(
    struct reaper *reaper, pid_t pid, reaper_cb *on_end, void *argument);

/* Nobody is watched, and no orphan that we know of lives. */
bool reaper_is_clean(const struct reaper *reaper);

/*
 * Kills the process groups in a board: of a child that died and is not reaped
 * yet, or of one that is about to be killed. A group whose leader's start time
 * differs is somebody else's by now and is left alone. Returns how many.
 */
int reaper_kill_groups(const struct scoreboard *board);

#endif
