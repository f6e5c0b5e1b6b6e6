// SPDX-License-Identifier: GPL-2.0-or-later
#include "hashing/page_fingerprint.h"

#include <string.h>

#ifdef __x86_64__
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

#define FINGERPRINT_MASK ((UINT64_C(1) << FINGERPRINT_BITS) - 1)

static const uint8_t zero_page[FINGERPRINT_PAGE_BYTES];

/* xxHash looks at the CPU on the first call and keeps what it chose in plain variables: have that
 * done before there are threads. */
__attribute__((constructor)) static void page_fingerprint_settle_dispatch(void)
{
	(void)page_fingerprint(zero_page);
}

uint64_t page_fingerprint(const void *page)
{
	return XXH3_64bits(page, FINGERPRINT_PAGE_BYTES) & FINGERPRINT_MASK;
}

bool page_is_zero(const void *page)
{
	uint64_t first;

	/* Most pages that are not zero show it here, and are spared the call. */
	memcpy(&first, page, sizeof(first));
	return first == 0 && memcmp(page, zero_page, sizeof(zero_page)) == 0;
}

/* xxHash keeps its choice to itself; these are the same questions in the same order. */
const char *page_fingerprint_isa(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f"))
		return "avx512";
	if (__builtin_cpu_supports("avx2"))
		return "avx2";
	return "sse2";
#elif defined(__aarch64__)
	return "neon";
#else
	return "scalar";
#endif
}
