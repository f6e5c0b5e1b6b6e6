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

static int draft_set_init(struct draft_set *set, size_t extents)
{
	set->in = calloc(extents, sizeof(*set->in));
	set->counts = calloc(extents, sizeof(*set->counts));
	return set->in && set->counts ? 0 : -ENOMEM;
}

static void draft_set_done(struct draft_set *set)
{
	free(set->in);
	free(set->counts);
}

void draft_done(struct draft *draft)
{
	for (size_t i = 0; draft->vms && i < draft->vm_count; i++) {
		free(draft->vms[i].prints);
		draft_set_done(&draft->vms[i].worth);
		draft_set_done(&draft->vms[i].ready);
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

bool draft_is_ready(enum policy_hugepages hugepages, const struct extent *extent,
	struct twin_extent counts, uint64_t pass)
{
	return extent->visits >= 2 && payoff_may_fold(extent, pass) &&
	       draft_gain(extent, counts) - extent->changed >= (int)draft_price(hugepages, extent);
}

/* ---- what is worth it ---- */

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
		pass += extent_stands(vm, extent, draft->worth.counts[e]);
	}
	return pass && (vm->hugepages == HUGEPAGES_FOLD || pass >= read / DRAFT_WHOLE_DIVISOR);
}

static size_t worth_drop(struct draft_vm *draft)
{
	const bool all = draft->vm->whole && !whole_stands(draft);
	struct draft_set *worth = &draft->worth;
	size_t dropped = 0;

	for (size_t e = 0; e < draft->vm->map->count; e++) {
		if (!worth->in[e] || (draft->vm->whole && !all) ||
			(!all && extent_stands(
					 draft->vm, &draft->vm->map->extents[e], worth->counts[e])))
			continue;
		worth->in[e] = false;
		dropped++;
	}
	return dropped;
}

static int draft_vm_init(struct draft_vm *draft, const struct plan_vm *vm, struct twin_owner *owner)
{
	const size_t count = vm->map->count;
	const size_t room = count ? count : 1;
	struct draft_set *worth = &draft->worth;
	int error;

	draft->vm = vm;
	draft->prints = calloc(room, sizeof(*draft->prints));
	error = draft->prints ? draft_set_init(worth, room) : -ENOMEM;
	if (!error)
		error = draft_set_init(&draft->ready, room);
	if (error)
		return error;
	for (size_t i = 0; i < count; i++) {
		const struct extent *extent = &vm->map->extents[i];

		draft->prints[i] = extent->prints;
		worth->counts[i] = (struct twin_extent){ extent->twins, extent->zeros };
		worth->in[i] = vm->whole ? vm->fold && extent->prints && !extent->out_of_reach
					 : extent_stands(vm, extent, worth->counts[i]);
	}
	if (vm->whole)
		(void)worth_drop(draft);
	*owner = (struct twin_owner){ .extents = draft->prints, .extent_count = count };
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

/* ---- what of it is ready ---- */

bool draft_whole_is_ready(const struct draft_vm *draft, const struct draft_set *set, uint64_t pass)
{
	const struct plan_vm *vm = draft->vm;
	size_t read = 0, ready = 0;

	for (size_t e = 0; e < vm->map->count; e++) {
		const struct extent *extent = &vm->map->extents[e];

		read += (extent->prints || extent->put_off) && !extent->out_of_reach;
		ready += set->in[e] && draft_is_ready(vm->hugepages, extent, set->counts[e], pass);
	}
	return ready && (vm->hugepages == HUGEPAGES_FOLD || ready >= read / DRAFT_WHOLE_DIVISOR);
}

/* By what it counts among that set: a marked one is, whatever it counts. */
static bool extent_is_ready(const struct draft_vm *draft, size_t e, const struct draft_set *set,
	bool whole_is_ready, uint64_t pass)
{
	const struct extent *extent = &draft->vm->map->extents[e];

	if (extent->marked || whole_is_ready)
		return true;
	return !draft->vm->whole &&
	       draft_is_ready(draft->vm->hugepages, extent, set->counts[e], pass);
}

/* Those of one set that are ready by what they count there; how many are not. */
static size_t ready_pick(struct draft_vm *draft, const struct draft_set *from, uint64_t pass)
{
	const bool whole_is_ready = draft->vm->whole && draft_whole_is_ready(draft, from, pass);
	size_t dropped = 0;

	for (size_t e = 0; e < draft->vm->map->count; e++) {
		const bool is_ready =
			from->in[e] && extent_is_ready(draft, e, from, whole_is_ready, pass);

		dropped += from->in[e] && !is_ready;
		draft->ready.in[e] = is_ready;
	}
	return dropped;
}

/* ---- rounds ---- */

/* What is in is counted, and dropped where that is too little; until nothing is. */
enum draft_stage { STAGE_WORTH, STAGE_READY };

static struct draft_set *stage_set(struct draft_vm *draft, enum draft_stage stage)
{
	return stage == STAGE_WORTH ? &draft->worth : &draft->ready;
}

static size_t draft_drop(struct draft *draft, enum draft_stage stage, uint64_t pass)
{
	size_t dropped = 0;

	for (size_t v = 0; v < draft->vm_count; v++)
		dropped += stage == STAGE_WORTH
				   ? worth_drop(&draft->vms[v])
				   : ready_pick(&draft->vms[v], &draft->vms[v].ready, pass);
	return dropped;
}

static int draft_settle(struct draft *draft, enum draft_stage stage, uint64_t pass)
{
	const struct twin_index_options recount = { .known_twins_only = true };

	for (size_t v = 0; v < draft->vm_count; v++) {
		const struct draft_set *set = stage_set(&draft->vms[v], stage);

		draft->owners[v].counted = set->in;
		draft->owners[v].ret_extents = set->counts;
	}
	for (int round = 0; round < RECOUNT_ROUNDS; round++) {
		const int error = twin_index_count(
			draft->owners, draft->vm_count, &recount, &draft->total);

		if (error)
			return error;
		if (!draft_drop(draft, stage, pass))
			break;
	}
	return 0;
}

/* Something in it could be folded now, if what it has in common with others can be, too. */
static bool any_gains(const struct draft_vm *draft)
{
	for (size_t e = 0; e < draft->vm->map->count; e++) {
		const struct extent *extent = &draft->vm->map->extents[e];

		if (draft->ready.in[e] && draft_gain(extent, draft->ready.counts[e]) >=
						  (int)draft_price(draft->vm->hugepages, extent))
			return true;
	}
	return false;
}

/* Mostly all that is worth it is ready, or nothing new is: then there is nothing to count once
 * more. */
static int draft_muster(struct draft *draft, uint64_t pass)
{
	bool gains = false;
	size_t missing = 0;

	for (size_t v = 0; v < draft->vm_count; v++) {
		struct draft_vm *vm = &draft->vms[v];

		missing += ready_pick(vm, &vm->worth, pass);
		memcpy(vm->ready.counts, vm->worth.counts,
			vm->vm->map->count * sizeof(*vm->ready.counts));
		gains = gains || any_gains(vm);
	}
	return missing && gains ? draft_settle(draft, STAGE_READY, pass) : 0;
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

int draft_make(const struct plan_vm *vms, size_t vm_count, uint64_t pass, struct draft *ret)
{
	struct draft draft = { 0 };
	int error = draft_init(&draft, vms, vm_count);

	for (size_t v = 0; !error && v < vm_count; v++)
		error = states_keep(&draft.vms[v]);
	if (!error)
		error = draft_settle(&draft, STAGE_WORTH, pass);
	if (!error)
		error = draft_muster(&draft, pass);
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
			if (draft->vms[v].ready.in[e] && draft->vms[v].vm->map->extents[e].marked)
				return true;
	return false;
}

uint64_t draft_saved_pages_among_themselves(const struct draft *draft, uint64_t fold_pages)
{
	const struct twin_sums *total = &draft->total;
	const uint64_t standing = total->duplicate_pages + total->zero_pages;

	return standing ? fold_pages * (standing - total->distinct_contents) / standing : 0;
}

uint64_t draft_saved_pages(const struct draft *draft, uint64_t fold_pages)
{
	return draft_has_marks(draft) ? fold_pages
				      : draft_saved_pages_among_themselves(draft, fold_pages);
}

double draft_vm_yield(const struct draft *draft, size_t vm)
{
	const struct twin_sums *sums = &draft->owners[vm].ret_sums;
	const uint64_t standing = sums->duplicate_pages + sums->zero_pages;

	return standing ? (double)twin_sums_saveable_bytes(sums) / (double)(standing * PAGE_BYTES) : 0;
}
