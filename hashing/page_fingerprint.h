/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a 4 KiB page holds, in 48 bits: the low six bytes of XXH3-64. A fingerprint is a hint, never
 * a proof: two different pages of 2^28 share one with a probability that leaves some hundred false
 * pairs, and the kernel compares bytes before it merges.
 *
 * Thread-safe.
 */
#ifndef PAGEFOLD_HASHING_PAGE_FINGERPRINT_H
#define PAGEFOLD_HASHING_PAGE_FINGERPRINT_H

#include <stdbool.h>
#include <stdint.h>

#define FINGERPRINT_PAGE_BYTES 4096u
#define FINGERPRINT_BITS       48u

/* page points at FINGERPRINT_PAGE_BYTES readable bytes, of any alignment. */
uint64_t page_fingerprint(const void *page);
bool page_is_zero(const void *page);

/* The instruction set XXH3 runs on on this CPU: "avx512", "avx2", "sse2", "neon" or "scalar". */
const char *page_fingerprint_isa(void);

#endif
