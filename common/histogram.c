#include "common/histogram.h"

enum { SUB_BITS = 2, SUBS = 1 << SUB_BITS };

/* The exponent of the value's leading bit, then the two bits after it. */
static unsigned int
bucket_of(uint64_t value)
{
	unsigned int exponent, sub;

	if (value == 0)
		return 0;
	exponent = 63 - (unsigned int)__builtin_clzll(value);
	if (exponent < SUB_BITS)
		sub = (unsigned int)(value << (SUB_BITS - exponent));
	else
		sub = (unsigned int)(value >> (exponent - SUB_BITS));
	exponent = exponent * SUBS + sub % SUBS;
	return exponent < HISTOGRAM_BUCKETS ? exponent : HISTOGRAM_BUCKETS - 1;
}

/* The greatest value of a bucket. */
static uint64_t
edge_of(unsigned int bucket)
{
	unsigned int exponent = bucket / SUBS;
	uint64_t next = SUBS + bucket % SUBS + 1;

	if (exponent < SUB_BITS)
		next = (next + (1u << (SUB_BITS - exponent)) - 1) >>
		       (SUB_BITS - exponent);
	else
		next <<= exponent - SUB_BITS;
	return next - 1;
}

void
histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram->count++;
	histogram->sum += value;
	if (value > histogram->max)
		histogram->max = value;
	histogram->buckets[bucket_of(value)]++;
}

void
histogram_merge(struct histogram *into, const struct histogram *from)
{
	into->count += from->count;
	into->sum += from->sum;
	if (from->max > into->max)
		into->max = from->max;
	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}

/* Counts the buckets anew: `count` of a histogram in shared memory may be a
 * moment ahead of them. */
uint64_t
histogram_percentile(const struct histogram *histogram, double q)
{
	uint64_t total = 0, seen = 0, wanted;

	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
		total += histogram->buckets[i];
	wanted = q <= 0 ? 1 : (uint64_t)((double)total * q + 0.999999);
	if (wanted > total || q >= 1)
		wanted = total;
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += histogram->buckets[i];
		if (seen < wanted || histogram->buckets[i] == 0)
			continue;
		if (i == HISTOGRAM_BUCKETS - 1 || edge_of(i) > histogram->max)
			return histogram->max;
		return edge_of(i);
	}
	return 0;
}
