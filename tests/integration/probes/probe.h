/* What the probes share: orders from standard input, and the loop's gap. */
#ifndef TESTS_PROBE_H
#define TESTS_PROBE_H

struct event_base;

/* Runs the loop; calls `on_order` for each line until "quit" or the end of
 * standard input. Prints "gap <ms>" at the end: the longest that the loop
 * did not turn though it had the processor. */
void probe_run(struct event_base *base, void (*on_order)(char *line));

/* Prints a line at once. */
void probe_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
