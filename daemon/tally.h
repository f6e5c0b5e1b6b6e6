/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a target's folded pages add up to: how many of them there are for each frame, and whose.
 *
 * Of a frame with N mappings N - 1 pages are saved. A target that has k of the mappings would have saved k - 1 all
 * by itself: those are its self twins. By sharing the frame with others it saves 1 - k/N more: cross twins. Both
 * together are k - k/N, which is what Rss - Pss says of it; and over all targets the first add up to N less the
 * number of targets, the second to that number less 1.
 */
#ifndef PAGEFOLD_DAEMON_TALLY_H
#define PAGEFOLD_DAEMON_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/extent.h"
#include "daemon/frame_set.h"

/* All zero to begin with. */
struct tally {
	struct frame_set seen;
	bool hidden;     /* some frame could not be told from others: self twins are not known */
	uint64_t frames; /* that have been seen */
	double saved_pages, self_pages, exposed_pages; /* of tally_add_folded() */
};

/* Notes a frame. True: it had been noted before. 0 is no frame's number here. */
bool tally_see(struct tally *tally, uint64_t number);

/* A page of KSM. */
struct folded_page {
	uint64_t number;    /* of its frame */
	uint32_t mappings;  /* of that, by anybody; 0: not known */
	uint32_t inherited; /* of these, by a fork after the fold: no folding saved them */
	uint32_t before;    /* of the page that it was: 1, or more where a fork shared it already; or SHARED_BY_FORK */
};

/* Adds the share of the frame that stopped being the target's when the page was folded; and what it needs if all
 * mappings of the frame break, which counts whoever has them. */
void tally_add_folded(struct tally *tally, const struct folded_page *page);

/* Of a VM, which has no pages in common with others but folded ones: all of its shared pages have been seen, and
 * those include so many folds, and zero pages or none. */
uint64_t tally_self_pages(const struct tally *tally, uint64_t folded_pages, bool zeros);

void tally_done(struct tally *tally);

#endif
