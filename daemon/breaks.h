/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many folds of an extent broke between two looks at its pages: arithmetic only.
 *
 * A page that was folded and is the process's own now was written. One that is not there any more
 * was given back (balloon, free-page reporting) or swapped out: nothing was copied for it. A fold
 * can break once only until ksmd folds the page again, so outside bursts nothing is missed between
 * two looks, however far they are apart, but for this: what was broken and given back since counts
 * as given back, what was given back and filled anew counts as broken.
 */
#ifndef PAGEFOLD_DAEMON_BREAKS_H
#define PAGEFOLD_DAEMON_BREAKS_H

#include <stdbool.h>
#include <stdint.h>

#include "hashing/page_set.h"

/* What a page is at a look. */
enum page_fold {
	FOLD_GONE, /* not present */
	FOLD_OWN,  /* the process's own */
	FOLD_KSM,  /* a KSM page, also where nobody else maps it any more: a write copies it all the
		      same */
	FOLD_ZERO, /* the kernel's zero page */
};

/* What the last look at a marked extent saw; all sets empty before the first one. */
struct fold_memory {
	struct page_set ksm, zero;
	struct page_set gone;
	struct page_set foreign; /* zero pages that are none of our doing: a hole that was read, as
				    is every zero page from before the mark */
};

struct break_counts {
	uint64_t ksm, zero;
};

void break_counts_add(struct break_counts *sum, const struct break_counts *counts);

/* The look before the mark: the zero pages there are not ours. folds has one byte (enum page_fold)
 * a page, from the extent's first page on. */
void breaks_begin(struct fold_memory *memory, const uint8_t *folds, unsigned pages);

/* Any look after it: adds to *inout what broke since the last one. collapsed: the extent is one
 * huge page now, which is how the kernel undoes folds without anybody writing. */
void breaks_look(struct fold_memory *memory, const uint8_t *folds, unsigned pages, bool collapsed,
	struct break_counts *inout);

/* Pages first .. first + count - 1 are unfolded by us: nobody broke them. */
void breaks_forget_run(struct fold_memory *memory, unsigned first, unsigned count);

#endif
