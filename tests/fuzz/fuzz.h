/* What libFuzzer calls, again and again: the decoder under test reads the
 * bytes, which must do no harm whatever they are. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Unlike assert, in every build. */
#define MUST(condition)                                                        \
	do {                                                                   \
		if (!(condition))                                              \
			__builtin_trap();                                      \
	} while (0)

#endif
