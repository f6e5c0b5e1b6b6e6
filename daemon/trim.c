// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The leftovers of a burst: marked pages that found no twin cost ksmd time in every later burst and 64
 * bytes of kernel memory each. Un-marking them frees and copies nothing, since they are nobody's but the
 * process's own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/account.h"
#include "daemon/advice_list.h"
#include "daemon/breaks.h"
#include "daemon/dense.h"
#include "daemon/fold.h"
#include "daemon/means.h"
#include "daemon/whole.h"
#include "hypervisor-glue/pagemap.h"
#include "hypervisor-glue/smaps.h"

struct trim {
	struct core *core;
	struct target *target;
	unsigned min_run;
	uint64_t vma_room;
	struct advice_list list;
};

/* As of the look at the address space after the burst: what was left out from the start. */
static bool is_marked(const struct trim *trim, uint64_t start, uint64_t end)
{
	const struct vma *vma = smaps_find(&trim->target->guest.smaps, start);

	return !vma || vma->flags & VMA_MERGEABLE || vma->end < end;
}

/* A page is folded when others map its frame too: a KSM page with a partner, or the zero page. */
static int trim_runs(struct trim *trim, const struct extent *extent, const uint8_t *tenures)
{
	const unsigned pages = extent_pages(extent);
	int error = 0;

	for (unsigned page = 0; !error && page < pages;) {
		const unsigned first = page;
		uint64_t start, end;

		while (page < pages && tenures[page] != PAGE_SHARED)
			page++;
		start = extent->start + first * PAGE_BYTES;
		end = extent->start + page * PAGE_BYTES;
		if (page - first >= trim->min_run && trim->vma_room >= DENSE_GAP_VMAS &&
			is_marked(trim, start, end)) {
			trim->vma_room -= DENSE_GAP_VMAS;
			error = advice_list_add(&trim->list, start, end, ADVICE_UNMERGEABLE);
			/* A KSM page that has lost its partner is copied back. */
			if (extent->memory)
				breaks_forget_run(extent->memory, first, page - first);
		}
		while (page < pages && tenures[page] == PAGE_SHARED)
			page++;
	}
	return error;
}

static int trim_whole(struct trim *trim, const struct extent *extent)
{
	struct advice_request undo;
	int error = advice_list_add(&trim->list, extent->start, extent->end, ADVICE_UNMERGEABLE);

	if (!error && fold_advice_undo(trim->core, extent, &undo))
		error = advice_list_add(
			&trim->list, undo.start, undo.start + undo.length, undo.advice);
	return error;
}

static int trim_extent(struct trim *trim, struct extent *extent)
{
	uint8_t tenures[EXTENT_PAGES];
	const int error = account_extent(trim->target, extent, tenures);

	if (error)
		return error;
	return extent_folds(extent) ? trim_runs(trim, extent, tenures)
				    : trim_whole(trim, extent);
}

void fold_judge(struct extent *extent, uint64_t pass)
{
	if (extent_folds(extent) - extent->had >= extent->promised / 2)
		extent->disappointed = 0;
	else
		payoff_disappointed(extent, pass);
}

/* Only now that the kernel has carried it out are the emptied extents no longer ours. */
static void trim_finish(struct target *target, uint64_t pass, bool fresh_only)
{
	for (size_t i = 0; i < target->guest.map.count; i++) {
		struct extent *extent = &target->guest.map.extents[i];

		if (!extent->marked || (fresh_only && !extent->fresh))
			continue;
		if (extent->fresh)
			fold_judge(extent, pass);
		extent->fresh = false;
		extent->due_ns = 0; /* zero folds are not there to be read any more: count anew */
		if (extent_folds(extent))
			continue;
		extent_unmark(extent);
	}
}

int fold_trim(struct core *core, struct target *target, unsigned min_run, bool fresh_only)
{
	struct trim trim = {
		.core = core,
		.target = target,
		.min_run = min_run,
		.vma_room = target->vma_room,
	};
	int error = means_attach(core, target);

	if (!error && target->hook->ops->whole)
		return whole_trim(core, target);
	for (size_t i = 0; !error && i < target->guest.map.count; i++) {
		struct extent *extent = &target->guest.map.extents[i];

		if (extent->marked && (extent->fresh || !fresh_only))
			error = trim_extent(&trim, extent);
	}
	if (!error && trim.list.count)
		error = means_advise(core, target, trim.list.requests, trim.list.count);
	if (!error) {
		trim_finish(target, core->pass_number, fresh_only);
		error = core_record(core);
	}
	advice_list_done(&trim.list);
	return error;
}
