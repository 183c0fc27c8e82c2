/*
 * What tasks tell while they run, on its way to whoever is looking.
 */
#ifndef DAEMON_WORKER_STREAM_H
#define DAEMON_WORKER_STREAM_H

#include "daemon/handlers/handler.h"

/* `argument` is the worker. */
handler_progress_cb stream_progress;
handler_chunk_cb stream_chunk;

#endif
