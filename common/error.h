/*
 * An error for a person: one sentence built where the knowledge is, with the
 * place in a file where there is one. Functions that can fail in ways an
 * operator must read take a `struct error *` as their last argument and fill
 * it when they fail.
 */
#ifndef COMMON_ERROR_H
#define COMMON_ERROR_H

struct error {
	char file[256];	  /* empty: not about a file */
	int line, column; /* from 1; 0: unknown */
	char text[1024];  /* the sentence: lower case, no final period */
};

/* Sets the sentence; clears the place. Cuts what is too long. */
void error_set(struct error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Sets the place; the sentence stays. */
void error_place(struct error *error, const char *file, int line, int column);

/* Writes "file:line:column: text" (or just the text) into `buffer`. */
const char *error_format(
    const struct error *error, char *buffer, unsigned long size);

#endif
