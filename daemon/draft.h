/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which extents are worth their price together.
 *
 * What an extent gains depends on its partners being marked too. So: take every extent that is worth its price
 * as counted among all, count twins among those alone, drop what fell below, and repeat until nothing falls.
 * Gains only fall by it, so the order of dropping makes no difference: what is left is the largest set in which
 * every extent is worth its price, and the same as dropping the worst one by one would leave.
 */
#ifndef PAGEFOLD_DAEMON_DRAFT_H
#define PAGEFOLD_DAEMON_DRAFT_H

#include "daemon/plan.h"
#include "hashing/twin_index.h"

/* Memory that is marked as a whole costs ksmd a visit of every page, and may lose any of its huge pages: it is
 * worth it where at least this part of what was read passes on its own. */
#define DRAFT_WHOLE_DIVISOR 4

struct page_states {
	uint8_t state[EXTENT_PAGES / 4];
};

/* The working copy of one VM: which of its extents still stand, and what they count among those. */
struct draft_vm {
	const struct plan_vm *vm;
	struct extent_prints **prints;
	struct twin_extent *counts;
	bool *stands;
	struct page_states *before; /* of the pages of each extent, as the census left them */
};

struct draft {
	struct draft_vm *vms;
	struct twin_owner *owners;
	size_t vm_count;
	struct twin_sums total; /* of what stands */
};

/* How many pages must fold there for it to pay; not for a huge page that is to be kept. */
unsigned draft_price(enum policy_hugepages hugepages, const struct extent *extent);

/* How many must be folded there for it to go on paying: half of what it took to fold it, so that an extent about the
 * price is not folded and released by turns. What it took to split a huge page is owed for as long as it is. */
unsigned draft_least(enum policy_hugepages hugepages, const struct extent *extent);

/* What is still to be had there: pages that are KSM pages already are read as twins, too. */
int draft_gain(const struct extent *extent, struct twin_extent counts);

/* 0 or -ENOMEM. vms is borrowed until draft_done(), which takes a blank one, too. The recounts go by the twin
 * states of the pages and change them; they are put back. */
int draft_make(const struct plan_vm *vms, size_t vm_count, struct draft *ret);
void draft_done(struct draft *draft);

/* What comes back where so many pages fold. Exact where all that stands is folded at once. A new twin of what is
 * folded already comes back whole: beside older folds this is at most what folds, and nobody knows how much
 * less. */
uint64_t draft_saved_pages(const struct draft *draft, uint64_t fold_pages);
/* The same by VM: how much of a page that folds in it comes back to it, 0 to 1, by its own twins and by the parts of
 * what it shares with others. */
double draft_vm_yield(const struct draft *draft, size_t vm);

#endif
