/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PAGEFOLD_TESTS_FUZZ_H
#define PAGEFOLD_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that every input must keep; not assert(), which NDEBUG takes away. */
static inline void fuzz_check(int holds)
{
	if (!holds)
		abort();
}

/* The input as a string of its own allocation, so that a read beyond its end is seen. */
static inline char *fuzz_string(const uint8_t *data, size_t size)
{
	char *const text = malloc(size + 1);

	fuzz_check(text != NULL);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

#endif
