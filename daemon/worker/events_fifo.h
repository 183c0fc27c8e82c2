/*
 * The FIFO of a worker, <runtime_dir>/events.<pid>, mode 0600. One without a
 * reader was left by a worker that could not remove it.
 */
#ifndef DAEMON_WORKER_EVENTS_FIFO_H
#define DAEMON_WORKER_EVENTS_FIFO_H

/* Makes it and opens it for reading, without ever an end of file; `ret_path`
 * is the caller's to free. The descriptor or a negative errno. */
int events_fifo_open(const char *runtime_dir, char **ret_path);

/* Removes those that nobody reads. */
void events_fifo_purge(const char *runtime_dir);

#endif
