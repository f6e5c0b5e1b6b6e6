/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who has how much in common with whom: what a count of twins finds, told apart by pairs of owners.
 *
 * A content that k owners hold belongs to k * (k - 1) / 2 pairs, and what is common to two of many
 * equal VMs is mostly common to all. So contents are first added up by the set of owners that hold
 * them, and each set is dealt out to its pairs once. Sets are kept in a table of bounded size,
 * which is emptied into the pairs whenever it is full.
 */
#ifndef PAGEFOLD_HASHING_TWIN_PAIRS_H
#define PAGEFOLD_HASHING_TWIN_PAIRS_H

#include <stddef.h>
#include <stdint.h>

/* Pairs are 40 bytes each: half a million of them are 20 MiB, for as long as a count takes. */
#define TWIN_PAIRS_OWNERS_MOST 1024u

/* Two owners, the first of them before the second in the array that was counted. */
struct twin_pair {
	uint64_t contents; /* that both hold, however often */
	uint64_t pages[2]; /* of the first, whose content the second holds as well; and the other
			      way round */
	/*
	 * Of the first's cross_bytes, what it owes to the second; and the other way round. An
	 * owner's share in one content is split evenly among the other holders, what does not
	 * divide goes to the first of them. So what all pairs of an owner have here adds up to its
	 * cross_bytes.
	 */
	uint64_t cross_bytes[2];
};

struct twin_set;

struct twin_pairs {
	size_t owner_count;
	struct twin_pair *cells; /* (0, 1), (0, 2), (1, 2), (0, 3), ... */

	/* the content at hand */
	uint32_t *holders; /* ascending */
	uint64_t *copies;
	size_t holder_count;

	struct twin_set **table;
	size_t set_count, set_bytes;
};

/* -ENOMEM, or -E2BIG for more owners than TWIN_PAIRS_OWNERS_MOST. */
int twin_pairs_init(struct twin_pairs *pairs, size_t owner_count);
void twin_pairs_done(struct twin_pairs *pairs);

/* One content: each owner that holds it, in ascending order, then its end. */
void twin_pairs_hold(struct twin_pairs *pairs, size_t owner, uint64_t copies);
void twin_pairs_end_content(struct twin_pairs *pairs);
/* All contents have been told: from here on the pairs are complete. */
void twin_pairs_finish(struct twin_pairs *pairs);

/* first < second < owner_count */
const struct twin_pair *twin_pairs_get(const struct twin_pairs *pairs, size_t first, size_t second);

#endif
