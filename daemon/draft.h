/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which extents are worth their price together.
 *
 * What an extent gains depends on its partners being marked too. So: take every extent that is
 * worth its price as counted among all, count twins among those alone, drop what fell below, and
 * repeat until nothing falls. Gains only fall by it, so the order of dropping makes no difference:
 * what is left is the largest set in which every extent is worth its price, and the same as
 * dropping the worst one by one would leave.
 *
 * Not all of that is ready at the same time: some was read once only, some disappointed and is left
 * alone. What is folded now must be worth its price among what is ready now, or marked already.
 * Else one of two twins would be marked, find nobody and be left alone, and then the other, by
 * turns, for nothing but ksmd's time.
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

/* Some of the extents of a VM, and what they count among all that are in. */
struct draft_set {
	bool *in;
	struct twin_extent *counts;
};

/* The working copy of one VM. */
struct draft_vm {
	const struct plan_vm *vm;
	struct extent_prints **prints;
	struct draft_set worth; /* what is worth its price */
	struct draft_set ready; /* of that, what is marked, or can be now and still is worth it */
	struct page_states *before; /* of the pages of each extent, as the census left them */
};

struct draft {
	struct draft_vm *vms;
	struct twin_owner *owners;
	size_t vm_count;
	struct twin_sums total; /* of what is ready */
};

/* How many pages must fold there for it to pay; not for a huge page that is to be kept. */
unsigned draft_price(enum policy_hugepages hugepages, const struct extent *extent);

/* How many must be folded there for it to go on paying: half of what it took to fold it, so that an extent about the
 * price is not folded and released by turns. What it took to split a huge page is owed for as long as it is. */
unsigned draft_least(enum policy_hugepages hugepages, const struct extent *extent);

/* What is still to be had there: pages that are KSM pages already are read as twins, too. */
int draft_gain(const struct extent *extent, struct twin_extent counts);

/* It was read twice, was worth it both times, and is not left alone for having disappointed. */
bool draft_is_ready(enum policy_hugepages hugepages, const struct extent *extent,
	struct twin_extent counts, uint64_t pass);

/* Memory that is marked as a whole: enough of what is in the set is ready to mark all of it. */
bool draft_whole_is_ready(const struct draft_vm *draft, const struct draft_set *set, uint64_t pass);

/* pass: the number of this one. 0 or -ENOMEM. vms is borrowed until draft_done(), which takes a
 * blank one, too. The recounts go by the twin states of the pages and change them; they are put
 * back. */
int draft_make(const struct plan_vm *vms, size_t vm_count, uint64_t pass, struct draft *ret);
void draft_done(struct draft *draft);

/* What comes back where so many pages fold. Exact where all that is ready is folded at once. A new
 * twin of what is folded already comes back whole: beside older folds this is at most what folds,
 * and nobody knows how much less. */
uint64_t draft_saved_pages(const struct draft *draft, uint64_t fold_pages);
/* The same if none of them had a twin among older folds: the least to be expected, about. */
uint64_t draft_saved_pages_among_themselves(const struct draft *draft, uint64_t fold_pages);
/* The same by VM: how much of a page that folds in it comes back to it, 0 to 1, by its own twins and by the parts of
 * what it shares with others. */
double draft_vm_yield(const struct draft *draft, size_t vm);

#endif
