/*
 * Counts of values in buckets that grow by a quarter of a power of two: any
 * percentile is right within 1/4 of its value, from 1 to 2^40. Plain data: it
 * may live in shared memory and be copied; one writer.
 */
#ifndef COMMON_HISTOGRAM_H
#define COMMON_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 164 };

struct histogram {
	uint64_t count, sum, max;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The upper edge of the bucket that holds share `q` (0…1); 0 when empty. */
uint64_t histogram_percentile(const struct histogram *histogram, double q);

#endif
