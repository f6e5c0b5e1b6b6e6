// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "hashing/twin_index.h"

/*
 * 64 of 512: measured on four 1.5 GiB guests, 64 reaches 99.4 % of all there is to fold in 278 extents,
 * 128 98.9 % in 274, 256 91.7 % in 237. Below 64 ever more huge pages are broken for next to nothing;
 * whoever wants memory first (FOLD) takes them too.
 */
#define THRESHOLD_BALANCE 64u
#define THRESHOLD_FOLD    8u

/* Memory that is marked as a whole costs ksmd a visit of every page, and may lose any of its huge pages: it is
 * worth it where at least this part of what was read passes on its own. */
#define WHOLE_DIVISOR 4

/* Each round drops extents whose partners fell in the round before; what is left after eight is a few
 * pages off and sorts itself out in the next pass. */
#define RECOUNT_ROUNDS 8

/* Skip at most 2^6 passes. */
#define DISAPPOINTED_MAX 6

unsigned plan_threshold_pages(enum policy_hugepages hugepages)
{
	return hugepages == HUGEPAGES_FOLD ? THRESHOLD_FOLD : THRESHOLD_BALANCE;
}

const char *plan_action_name(enum plan_action action)
{
	switch (action) {
	case PLAN_FOLD:
		return "fold";
	case PLAN_REVISIT:
		return "revisit";
	case PLAN_RELEASE:
		return "release";
	}
	return "?";
}

/* The working copy of one VM: which of its extents still stand, and what they count among those. */
struct draft_vm {
	const struct plan_vm *vm;
	struct extent_prints **prints;
	struct twin_extent *counts;
	bool *stands;
};

struct draft {
	struct draft_vm *vms;
	struct twin_owner *owners;
	size_t vm_count;
	struct twin_sums total; /* of what stands */
};

static void draft_done(struct draft *draft)
{
	for (size_t i = 0; draft->vms && i < draft->vm_count; i++) {
		free(draft->vms[i].prints);
		free(draft->vms[i].counts);
		free(draft->vms[i].stands);
	}
	free(draft->vms);
	free(draft->owners);
}

/* A part of an extent (the end of a range, a small mapping) needs its share of the threshold only. */
static unsigned extent_threshold(const struct plan_vm *vm, const struct extent *extent)
{
	const unsigned threshold =
		plan_threshold_pages(vm->hugepages) * extent_pages(extent) / EXTENT_PAGES;

	return threshold < THRESHOLD_FOLD ? THRESHOLD_FOLD : threshold;
}

/* What is still to be had there: pages that are KSM pages already are read as twins, too. */
static int extent_gain(const struct extent *extent, struct twin_extent counts)
{
	const int twins = counts.twins - extent->folded;

	return (twins > 0 ? twins : 0) + counts.zeros;
}

/* Fold or no fold, an extent that is marked stays a partner of others. */
static bool extent_stands(
	const struct plan_vm *vm, const struct extent *extent, struct twin_extent counts)
{
	if (!vm->fold || !extent->prints || extent->watched)
		return false;
	if (extent->marked)
		return true;
	if (vm->whole && extent->out_of_reach)
		return false;
	if (vm->hugepages == HUGEPAGES_KEEP && extent->huge)
		return false;
	return extent_gain(extent, counts) >= (int)extent_threshold(vm, extent);
}

/* Enough of it passes to mark all of it; what is marked already is. */
static bool whole_stands(const struct draft_vm *draft)
{
	const struct plan_vm *vm = draft->vm;
	size_t read = 0, pass = 0;

	for (size_t e = 0; e < vm->map->count; e++) {
		const struct extent *extent = &vm->map->extents[e];

		if (extent->out_of_reach || !extent->prints)
			continue;
		if (vm->hugepages == HUGEPAGES_KEEP && extent->huge && !extent->marked)
			return false;
		read++;
		pass += extent_stands(vm, extent, draft->counts[e]);
	}
	return pass && (vm->hugepages == HUGEPAGES_FOLD || pass >= read / WHOLE_DIVISOR);
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

static int plan_add(struct plan *plan, size_t *room, const struct plan_entry *entry)
{
	if (plan->count == *room) {
		const size_t more = *room ? *room * 2 : 64;
		struct plan_entry *entries =
			reallocarray(plan->entries, more, sizeof(*plan->entries));

		if (!entries)
			return -ENOMEM;
		plan->entries = entries;
		*room = more;
	}
	plan->entries[plan->count] = *entry;
	plan->entries[plan->count].vm_name = strdup(entry->vm_name);
	if (!plan->entries[plan->count].vm_name)
		return -ENOMEM;
	plan->count++;
	return 0;
}

/* Whether there is anything to do in a standing extent; fills action and reason. */
static bool extent_decide(const struct draft_vm *draft, const struct extent *extent,
	struct twin_extent counts, uint64_t pass, struct plan_entry *entry)
{
	const int gain = extent_gain(extent, counts);
	const int threshold = (int)extent_threshold(draft->vm, extent);
	const unsigned skip =
		extent->disappointed < DISAPPOINTED_MAX ? extent->disappointed : DISAPPOINTED_MAX;

	entry->gain = (uint16_t)(gain > 0 ? gain : 0);
	if (gain < threshold || pass % (UINT64_C(1) << skip))
		return false;
	if (extent->visits < 2) {
		entry->action = PLAN_REVISIT;
		entry->reason = "promising, read once: to be read again before it is marked";
	} else if (gain - extent->changed < threshold) {
		entry->action = PLAN_REVISIT;
		entry->reason = "promising, but it changed since the visit before";
	} else {
		entry->action = PLAN_FOLD;
		entry->reason = extent->marked ? "marked, with new twins"
			: extent->huge ? "its twins and zero pages are worth the huge page"
				       : "has twins, and no huge page to lose";
	}
	return true;
}

static void entry_init(struct plan_entry *entry, const struct draft *draft, size_t v, size_t e)
{
	const struct draft_vm *vm = &draft->vms[v];
	const struct extent *extent = &vm->vm->map->extents[e];

	*entry = (struct plan_entry){
		.vm = v,
		.extent = e,
		.vm_name = (char *)(uintptr_t)vm->vm->name, /* borrowed until plan_add() copies it */
		.pid = vm->vm->pid,
		.start = extent->start,
		.length = extent->end - extent->start,
		.twins = vm->stands[e] ? vm->counts[e].twins : extent->twins,
		.zeros = vm->stands[e] ? vm->counts[e].zeros : extent->zeros,
		.huge = extent->huge && !extent->marked,
	};
}

/* One extent that may be folded takes all of them along; before that, enough of them must be ready. */
static int plan_add_whole(struct plan *plan, size_t *room, const struct draft *draft, size_t v,
	uint64_t pass)
{
	const struct draft_vm *vm = &draft->vms[v];
	struct plan_entry entry;
	size_t ready = 0, read = 0;
	bool fold, unmarked = false;
	int error = 0;

	for (size_t e = 0; e < vm->vm->map->count; e++) {
		const struct extent *extent = &vm->vm->map->extents[e];

		read += extent->prints && !extent->out_of_reach;
		entry_init(&entry, draft, v, e);
		if (!vm->stands[e] ||
			!extent_decide(vm, extent, vm->counts[e], pass, &entry) ||
			entry.action != PLAN_FOLD)
			continue;
		ready++;
		unmarked = unmarked || !extent->marked;
	}
	fold = ready && (!unmarked || vm->vm->hugepages == HUGEPAGES_FOLD ||
				ready >= read / WHOLE_DIVISOR);
	for (size_t e = 0; !error && e < vm->vm->map->count; e++) {
		const struct extent *extent = &vm->vm->map->extents[e];
		bool decided;

		entry_init(&entry, draft, v, e);
		decided = vm->stands[e] &&
			extent_decide(vm, extent, vm->counts[e], pass, &entry);
		if (fold && unmarked && !extent->marked && !extent->out_of_reach &&
			!(decided && entry.action == PLAN_FOLD)) {
			entry.action = PLAN_FOLD;
			entry.reason = "hook qmp marks all of its memory at once";
		} else if (!decided || (entry.action == PLAN_FOLD && !fold)) {
			continue;
		}
		if (entry.action == PLAN_FOLD)
			plan->fold_pages += entry.gain;
		error = plan_add(plan, room, &entry);
	}
	return error;
}

static int plan_add_vm(struct plan *plan, size_t *room, const struct draft *draft, size_t v,
	uint64_t pass)
{
	const struct draft_vm *vm = &draft->vms[v];
	uint64_t vma_room = vm->vm->vma_room;
	int error = 0;

	if (vm->vm->whole && !vm->vm->release)
		return plan_add_whole(plan, room, draft, v, pass);
	for (size_t e = 0; !error && e < vm->vm->map->count; e++) {
		const struct extent *extent = &vm->vm->map->extents[e];
		struct plan_entry entry;

		entry_init(&entry, draft, v, e);
		if (vm->vm->release && extent->marked) {
			entry.action = PLAN_RELEASE;
			entry.reason = "its memory is to be private again";
		} else if (!vm->stands[e] ||
			!extent_decide(vm, extent, vm->counts[e], pass, &entry)) {
			continue;
		} else if (entry.action == PLAN_FOLD) {
			const unsigned vmas = extent->marked ? 0 : PLAN_VMAS_PER_EXTENT;

			if (vma_room < vmas)
				continue; /* vm.max_map_count: the caller reports vma_room */
			vma_room -= vmas;
			plan->fold_pages += entry.gain;
		}
		error = plan_add(plan, room, &entry);
	}
	return error;
}

static bool draft_has_marks(const struct draft *draft)
{
	for (size_t v = 0; v < draft->vm_count; v++)
		for (size_t e = 0; e < draft->vms[v].vm->map->count; e++)
			if (draft->vms[v].stands[e] && draft->vms[v].vm->map->extents[e].marked)
				return true;
	return false;
}

/* Exact where all that stands is folded at once. A new twin of what is folded already comes back whole: beside
 * older folds this is at most what folds, and nobody knows how much less. */
static uint64_t draft_saved_pages(const struct draft *draft, uint64_t fold_pages)
{
	const struct twin_sums *total = &draft->total;
	const uint64_t standing = total->duplicate_pages + total->zero_pages;

	if (!standing || draft_has_marks(draft))
		return fold_pages;
	return fold_pages * (standing - total->distinct_contents) / standing;
}

int plan_make(const struct plan_vm *vms, size_t vm_count, uint64_t pass, struct plan *ret)
{
	_cleanup_(draft_done) struct draft draft = { 0 };
	struct plan plan = { 0 };
	size_t room = 0;
	int error;

	error = draft_init(&draft, vms, vm_count);
	if (!error)
		error = draft_settle(&draft);
	for (size_t v = 0; !error && v < vm_count; v++)
		error = plan_add_vm(&plan, &room, &draft, v, pass);
	if (error) {
		plan_done(&plan);
		return error;
	}
	plan.saved_pages = draft_saved_pages(&draft, plan.fold_pages);
	*ret = plan;
	return 0;
}

void plan_done(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		free(plan->entries[i].vm_name);
	free(plan->entries);
	*plan = (struct plan){ 0 };
}

void plan_drop_folds(struct plan *plan)
{
	size_t kept = 0;

	for (size_t i = 0; i < plan->count; i++) {
		if (plan->entries[i].action == PLAN_FOLD)
			free(plan->entries[i].vm_name);
		else
			plan->entries[kept++] = plan->entries[i];
	}
	plan->count = kept;
	plan->fold_pages = plan->saved_pages = 0;
}

int plan_copy(const struct plan *plan, struct plan *ret)
{
	struct plan copy = { .fold_pages = plan->fold_pages, .saved_pages = plan->saved_pages };
	size_t room = 0;

	for (size_t i = 0; i < plan->count; i++) {
		if (plan_add(&copy, &room, &plan->entries[i]) < 0) {
			plan_done(&copy);
			return -ENOMEM;
		}
	}
	*ret = copy;
	return 0;
}
