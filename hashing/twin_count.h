/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A count of twins while it is under way. Private to twin_index.c, twin_slice.c (which pages) and
 * twin_group.c (what they add up to); how it works stands in twin_index.c.
 */
#ifndef PAGEFOLD_HASHING_TWIN_COUNT_H
#define PAGEFOLD_HASHING_TWIN_COUNT_H

#include "hashing/page_fingerprint.h"
#include "hashing/twin_index.h"

/* 4,096 counters are 32 KiB, and as many open ends to write to are what a TLB bears. */
#define DIGIT_BITS   12u
#define DIGIT_DEPTHS (FINGERPRINT_BITS / DIGIT_BITS)

/* In place of a digit's count: does not fit in a partition. */
#define DIGIT_OVERSIZE UINT64_MAX

/* A mixed fingerprint stands in the upper 48 bits of 64; the lower 16 are free for the page. */
#define MIXED_SHIFT (64u - FINGERPRINT_BITS)
#define MIXED_MASK  (UINT64_MAX << MIXED_SHIFT)

/* The mixed fingerprints whose bits from `shift` up are base .. base + width - 1. */
struct twin_slice {
	unsigned shift;
	uint64_t base, width;
};

struct counted_extent {
	struct extent_prints *prints;
	struct twin_owner *owner;
};

struct twin_count {
	struct twin_owner *owners;
	size_t owner_count;
	bool known_twins_only;
	struct twin_pairs *pairs; /* NULL: not wanted */
	uint64_t multiplier;

	struct counted_extent *extents;
	size_t extent_count;
	unsigned location_bits; /* of a record: extent * EXTENT_PAGES + page */
	unsigned first_bits;    /* of the fingerprint: the first digit */

	uint64_t *counters[DIGIT_DEPTHS]; /* pages per digit, later where the digit's records end */
	uint64_t *copies;                 /* per owner, of the content at hand */
	uint64_t *records;
	uint64_t capacity; /* records that may be held, the sort's scratch included */

	uint64_t distinct_contents;
};

/*
 * The pages of one extent that can have twins and whose mixed fingerprint is in the slice, in
 * order: each as its mixed fingerprint with the page's number in the bits below. Returns how many.
 */
size_t twin_slice_pick(const struct twin_count *count, const struct extent_prints *prints,
	const struct twin_slice *slice, uint64_t ret_picks[static EXTENT_PAGES]);

/* Sets counters[0 .. width - 1] to the number of pages in each digit of the slice. */
void twin_slice_count(
	const struct twin_count *count, const struct twin_slice *slice, uint64_t *counters);

/* Copies a slice out, each digit's records together. counters: how many each digit has; afterwards
 * where they end. Oversize digits are left out, and their counters as they are. Returns how many
 * records that makes. */
uint64_t twin_slice_copy_out(
	const struct twin_count *count, const struct twin_slice *slice, uint64_t *counters);

/* Reads sorted records off: whole groups only. */
void twin_group_read(struct twin_count *count, const uint64_t *records, size_t total);

/* Counts a slice that is one single fingerprint, of two pages at least, without copying it out. */
void twin_group_content(struct twin_count *count, const struct twin_slice *slice);

#endif
