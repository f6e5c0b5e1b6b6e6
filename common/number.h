/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers out of foreign text: the whole text must be the number, nothing before or after it. */
#ifndef PAGEFOLD_COMMON_NUMBER_H
#define PAGEFOLD_COMMON_NUMBER_H

#include <stdint.h>

/* 0, or -EINVAL (empty, sign, blanks, trailing bytes) or -ERANGE; *ret untouched on failure.
 * base is 8, 10 or 16; no prefix is accepted. */
int number_parse_u64(const char *text, int base, uint64_t *ret);

#endif
