#include "common/nearest.h"

#include <stddef.h>
#include <string.h>

enum { LONGEST = 64 }; /* longer words are near to nothing */

static int
least(int a, int b, int c)
{
	int d = a < b ? a : b;

	return c < d ? c : d;
}

static int
distance(const char *a, const char *b)
{
	int rows[3][LONGEST + 1];
	size_t m = strlen(a), n = strlen(b);

	if (m > LONGEST || n > LONGEST)
		return LONGEST;
	for (size_t j = 0; j <= n; j++)
		rows[0][j] = (int)j;
	for (size_t i = 1; i <= m; i++) {
		int *now = rows[i % 3], *last = rows[(i + 2) % 3];

		now[0] = (int)i;
		for (size_t j = 1; j <= n; j++) {
			now[j] = least(last[j] + 1, now[j - 1] + 1,
			    last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				now[j] = least(now[j],
				    rows[(i + 1) % 3][j - 2] + 1, now[j]);
		}
	}
	return rows[m % 3][n];
}

struct nearest
nearest_start(const char *typed)
{
	size_t length = strlen(typed);

	return (struct nearest){
	    .typed = typed,
	    .distance =
		length < 3 || length > LONGEST ? 0 : (int)length / 3 + 2,
	};
}

void
nearest_offer(struct nearest *nearest, const char *word)
{
	int edits = distance(nearest->typed, word);

	if (edits < nearest->distance) {
		nearest->distance = edits;
		nearest->word = word;
	}
}
