/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who holds the same content as whom.
 *
 * Exact over the fingerprints, deterministic and sequential: the pages are cut into partitions by
 * their fingerprint, one partition at a time is copied out, sorted, and read off as groups of equal
 * fingerprints; the state of every page (single or twin) is written back where it came from.
 * Besides the prints themselves only one partition is ever held.
 *
 * `pagefold estimate`, the daemon's totals and the planner's recounts all run this one function.
 */
#ifndef PAGEFOLD_HASHING_TWIN_INDEX_H
#define PAGEFOLD_HASHING_TWIN_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hashing/extent_prints.h"
#include "hashing/twin_pairs.h"

/* Pages unless the name says bytes. Zero pages are never duplicates. */
struct twin_sums {
	uint64_t pages;             /* read: zero, single and twin */
	uint64_t zero_pages;
	uint64_t duplicate_pages;   /* content occurs at least twice among all that was counted */
	uint64_t distinct_contents; /* how many contents those are */
	uint64_t self_bytes;        /* (copies - 1) pages of each content inside one owner */
	uint64_t cross_bytes;       /* (owners - 1) pages of each content, split evenly among them;
	                               what does not divide goes to the first owner in the array */
};

struct twin_extent {
	uint16_t twins; /* pages with a twin */
	uint16_t zeros;
};

/* One VM. All pointers are borrowed; the states inside *extents are rewritten. */
struct twin_owner {
	struct extent_prints *const *extents; /* extent_count of them; NULL: nothing was read */
	const bool *counted;                  /* NULL: every extent counts */
	size_t extent_count;

	/* extent_count of them (all 0 where an extent does not count), or NULL: not wanted */
	struct twin_extent *ret_extents;
	struct twin_sums ret_sums;
};

struct twin_index_options {
	/* Upper bound of the copied-out partition; 0: 1 byte a page, 512 KiB at least. Less is slower (one
	 * more pass over the prints per partition), the result is the same. Beside the partition
	 * 1/32 byte a page is held. */
	size_t partition_bytes;
	/* Recount: only pages that are PAGE_TWIN now can still be one. Pages that lost their last
	 * partner become PAGE_SINGLE. */
	bool known_twins_only;
	/* NULL: not wanted. Who has how much in common with whom, made for as many owners. Then this is a look
	 * and no more: the states of the pages stay as they are, and ret_extents must be NULL. */
	struct twin_pairs *pairs;
};

/*
 * Counts among all owners. Pages in extents that do not count are neither counted nor touched.
 * Per-owner sums add up to ret_total, except distinct_contents (a shared content is in each
 * owner's, and once in the total). Returns 0 or -ENOMEM (nothing was changed then).
 */
int twin_index_count(struct twin_owner *owners, size_t owner_count,
	const struct twin_index_options *options, struct twin_sums *ret_total);

/* saveable = zero + self + cross */
static inline uint64_t twin_sums_saveable_bytes(const struct twin_sums *sums)
{
	return sums->zero_pages * 4096 + sums->self_bytes + sums->cross_bytes;
}

#endif
