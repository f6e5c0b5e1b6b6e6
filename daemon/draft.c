// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/draft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Prices, in pages that must fold.
 *
 * A mark may take 512 rmap_items of 64 bytes in the kernel, which are eight pages: below that, folding takes
 * more memory than it gives. In a balance with all else it must give twice that: ksmd has to visit every page
 * of a mark as well, and to go back to it. Where huge pages are kept there are few extents to visit, and they
 * are all that can be had.
 *
 * The price of a huge page (what a guest gains by it, in TLB misses and page tables not walked) is nothing to
 * whoever wants memory first, and more than there is to whoever keeps it. In between, together with the mark
 * it comes to 64 of 512 pages: measured on four 1.5 GiB guests that reaches 99.4 % of all there is to fold in
 * 278 extents, 128 98.9 % in 274, 256 91.7 % in 237. Below 64 ever more huge pages are broken for next to
 * nothing.
 */
#define PRICE_MARK_LEAST   8u
#define PRICE_MARK         16u
#define PRICE_HUGE_BALANCE 48u

/* What was folded may fall to half of its price before it is released. */
#define LEAST_DIVISOR 2

/* Each round drops extents whose partners fell in the round before; what is left after eight is a few
 * pages off and sorts itself out in the next pass. */
#define RECOUNT_ROUNDS 8

void draft_done(struct draft *draft)
{
	for (size_t i = 0; draft->vms && i < draft->vm_count; i++) {
		free(draft->vms[i].prints);
		free(draft->vms[i].counts);
		free(draft->vms[i].stands);
		free(draft->vms[i].before);
	}
	free(draft->vms);
	free(draft->owners);
	*draft = (struct draft){ 0 };
}

/* A part of an extent (the end of a range, a small mapping) takes its share of what a mark takes. */
static unsigned mark_price(enum policy_hugepages hugepages, const struct extent *extent)
{
	const unsigned whole = hugepages == HUGEPAGES_BALANCE ? PRICE_MARK : PRICE_MARK_LEAST;
	const unsigned price = whole * extent_pages(extent) / EXTENT_PAGES;

	return price < PRICE_MARK_LEAST ? PRICE_MARK_LEAST : price;
}

unsigned draft_price(enum policy_hugepages hugepages, const struct extent *extent)
{
	const unsigned price = mark_price(hugepages, extent) + payoff_break_price(extent);

	/* An extent that is marked has lost its huge page; but going back to it is a burst over all that is
	 * marked, which must be worth it as much. */
	if (hugepages == HUGEPAGES_FOLD || !(extent->huge || extent->marked))
		return price;
	return price + PRICE_HUGE_BALANCE;
}

unsigned draft_least(enum policy_hugepages hugepages, const struct extent *extent)
{
	const bool owes_huge = extent->was_huge && hugepages != HUGEPAGES_FOLD;

	return (mark_price(hugepages, extent) + (owes_huge ? PRICE_HUGE_BALANCE : 0)) / LEAST_DIVISOR;
}

int draft_gain(const struct extent *extent, struct twin_extent counts)
{
	const int twins = counts.twins - extent->folded;

	return (twins > 0 ? twins : 0) + counts.zeros;
}

/* Fold or no fold, an extent that is marked stays a partner of others; but for one that is about to be released. */
static bool extent_stands(
	const struct plan_vm *vm, const struct extent *extent, struct twin_extent counts)
{
	if (!vm->fold || !extent->prints || extent->watched)
		return false;
	if (extent->marked && (vm->whole || !payoff_has_lapsed(extent)))
		return true;
	if (payoff_thrashes(extent) && !vm->whole)
		return false;
	if (vm->whole && extent->out_of_reach)
		return false;
	if (vm->hugepages == HUGEPAGES_KEEP && extent->huge)
		return false;
	return draft_gain(extent, counts) >= (int)draft_price(vm->hugepages, extent);
}

/* Enough of it passes to mark all of it; what is marked already is. */
static bool whole_stands(const struct draft_vm *draft)
{
	const struct plan_vm *vm = draft->vm;
	size_t read = 0, pass = 0;

	for (size_t e = 0; e < vm->map->count; e++) {
		const struct extent *extent = &vm->map->extents[e];

		if (extent->out_of_reach || !(extent->prints || extent->put_off))
			continue;
		if (vm->hugepages == HUGEPAGES_KEEP && extent->huge && !extent->marked)
			return false;
		read++;
		pass += extent_stands(vm, extent, draft->counts[e]);
	}
	return pass && (vm->hugepages == HUGEPAGES_FOLD || pass >= read / DRAFT_WHOLE_DIVISOR);
}

static size_t whole_drop(struct draft_vm *draft)
{
	size_t dropped = 0;

	if (whole_stands(draft))
		return 0;
	for (size_t e = 0; e < draft->vm->map->count; e++) {
		dropped += draft->stands[e];
		draft->stands[e] = false;
	}
	return dropped;
}

static int draft_vm_init(struct draft_vm *draft, const struct plan_vm *vm, struct twin_owner *owner)
{
	const size_t count = vm->map->count;
	const size_t room = count ? count : 1;

	draft->vm = vm;
	draft->prints = calloc(room, sizeof(*draft->prints));
	draft->counts = calloc(room, sizeof(*draft->counts));
	draft->stands = calloc(room, sizeof(*draft->stands));
	if (!draft->prints || !draft->counts || !draft->stands)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const struct extent *extent = &vm->map->extents[i];

		draft->prints[i] = extent->prints;
		draft->counts[i] = (struct twin_extent){ extent->twins, extent->zeros };
		draft->stands[i] = vm->whole ? vm->fold && extent->prints && !extent->out_of_reach
					     : extent_stands(vm, extent, draft->counts[i]);
	}
	if (vm->whole)
		(void)whole_drop(draft);
	*owner = (struct twin_owner){
		.extents = draft->prints,
		.counted = draft->stands,
		.extent_count = count,
		.ret_extents = draft->counts,
	};
	return 0;
}

static int draft_init(struct draft *draft, const struct plan_vm *vms, size_t vm_count)
{
	int error = 0;

	draft->vm_count = vm_count;
	draft->vms = calloc(vm_count ? vm_count : 1, sizeof(*draft->vms));
	draft->owners = calloc(vm_count ? vm_count : 1, sizeof(*draft->owners));
	if (!draft->vms || !draft->owners)
		return -ENOMEM;
	for (size_t i = 0; !error && i < vm_count; i++)
		error = draft_vm_init(&draft->vms[i], &vms[i], &draft->owners[i]);
	return error;
}

static size_t draft_drop(struct draft *draft)
{
	size_t dropped = 0;

	for (size_t v = 0; v < draft->vm_count; v++) {
		struct draft_vm *vm = &draft->vms[v];

		if (vm->vm->whole) {
			dropped += whole_drop(vm);
			continue;
		}
		for (size_t e = 0; e < vm->vm->map->count; e++) {
			if (!vm->stands[e] ||
				extent_stands(vm->vm, &vm->vm->map->extents[e], vm->counts[e]))
				continue;
			vm->stands[e] = false;
			dropped++;
		}
	}
	return dropped;
}

static int draft_settle(struct draft *draft)
{
	const struct twin_index_options recount = { .known_twins_only = true };

	for (int round = 0; round < RECOUNT_ROUNDS; round++) {
		const int error = twin_index_count(
			draft->owners, draft->vm_count, &recount, &draft->total);

		if (error)
			return error;
		if (!draft_drop(draft))
			break;
	}
	return 0;
}

/* What one plan found without partners may have some in the next: another VM may be folded then. */
static int states_keep(struct draft_vm *draft)
{
	const size_t count = draft->vm->map->count;

	draft->before = malloc((count ? count : 1) * sizeof(*draft->before));
	if (!draft->before)
		return -ENOMEM;
	for (size_t e = 0; e < count; e++)
		if (draft->prints[e])
			memcpy(&draft->before[e], draft->prints[e]->state, sizeof(*draft->before));
	return 0;
}

static void states_put_back(struct draft_vm *draft)
{
	for (size_t e = 0; draft->before && e < draft->vm->map->count; e++)
		if (draft->prints[e])
			memcpy(draft->prints[e]->state, &draft->before[e], sizeof(*draft->before));
	free(draft->before);
	draft->before = NULL;
}

int draft_make(const struct plan_vm *vms, size_t vm_count, struct draft *ret)
{
	struct draft draft = { 0 };
	int error = draft_init(&draft, vms, vm_count);

	for (size_t v = 0; !error && v < vm_count; v++)
		error = states_keep(&draft.vms[v]);
	if (!error)
		error = draft_settle(&draft);
	for (size_t v = 0; draft.vms && v < vm_count; v++)
		states_put_back(&draft.vms[v]);
	if (error) {
		draft_done(&draft);
		return error;
	}
	*ret = draft;
	return 0;
}

static bool draft_has_marks(const struct draft *draft)
{
	for (size_t v = 0; v < draft->vm_count; v++)
		for (size_t e = 0; e < draft->vms[v].vm->map->count; e++)
			if (draft->vms[v].stands[e] && draft->vms[v].vm->map->extents[e].marked)
				return true;
	return false;
}

uint64_t draft_saved_pages(const struct draft *draft, uint64_t fold_pages)
{
	const struct twin_sums *total = &draft->total;
	const uint64_t standing = total->duplicate_pages + total->zero_pages;

	if (!standing || draft_has_marks(draft))
		return fold_pages;
	return fold_pages * (standing - total->distinct_contents) / standing;
}

double draft_vm_yield(const struct draft *draft, size_t vm)
{
	const struct twin_sums *sums = &draft->owners[vm].ret_sums;
	const uint64_t standing = sums->duplicate_pages + sums->zero_pages;

	return standing ? (double)twin_sums_saveable_bytes(sums) / (double)(standing * PAGE_BYTES) : 0;
}
