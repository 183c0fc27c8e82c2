/*
 * The word that a mistyped one was probably meant to be. Edits are letters
 * more, less or another, and neighbours swapped (optimal string alignment).
 */
#ifndef COMMON_NEAREST_H
#define COMMON_NEAREST_H

struct nearest {
	const char *typed;
	const char *word; /* the best so far; NULL: none is near enough */
	int distance;
};

/* Up to one edit in three letters and one more is near enough; nothing is
 * near to words of one or two letters. */
struct nearest nearest_start(const char *typed);
/* Takes the word when it is nearer than what was offered before. */
void nearest_offer(struct nearest *nearest, const char *word);

#endif
