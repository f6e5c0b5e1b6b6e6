// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/unfold.h"

#include <time.h>

#include "common/clock.h"
#include "daemon/fold.h"
#include "daemon/means.h"

/* UNMERGEABLE holds the target's address space locked while it copies: some 20 us a page where the
 * frame has many sharers, and more under KVM, whose tables each copy is taken from as well. */
#define COPY_NS_PER_PAGE  22000
#define PIECE_PAGES_LEAST 16

/* Two requests may come between a fault and its end: each has half of the budget. */
#define BUDGET_DIVISOR 2

/* After an UNMERGEABLE that copied: as long as KVM sees its tables change it begins a fault all over
 * again (mmu_invalidate_retry_gfn() in kvm_host.h), and whoever waits for the address space gets
 * it. Without it p99.9 of a guest's faults was 6.3 to 7.3 ms, with it 4.2 to 5.2. After a COLLAPSE it
 * makes them longer: 4.7 instead of 2 to 4. */
#define BREATHER_NS       100000
#define BREATHER_AFTER_NS 200000

struct unfold_pace unfold_pace_begin(const struct core *core)
{
	struct unfold_pace pace = {
		.budget_ns = core->config.stall_budget_ms * NS_PER_MS / BUDGET_DIVISOR,
	};

	pace.pages = pace.budget_ns / COPY_NS_PER_PAGE;
	if (pace.pages < PIECE_PAGES_LEAST)
		pace.pages = PIECE_PAGES_LEAST;
	return pace;
}

static void pace_learn(struct unfold_pace *pace, uint64_t took_ns)
{
	if (took_ns > pace->budget_ns && pace->pages > PIECE_PAGES_LEAST)
		pace->pages =
			pace->pages / 2 > PIECE_PAGES_LEAST ? pace->pages / 2 : PIECE_PAGES_LEAST;
	else if (took_ns < pace->budget_ns / 4 && pace->pages < EXTENT_PAGES)
		pace->pages = pace->pages * 2 < EXTENT_PAGES ? pace->pages * 2 : EXTENT_PAGES;
}

/* Memory first: a huge page that is let go of for being worth less than its folds is not rebuilt
 * for its own sake. */
bool unfold_rebuilds(
	const struct core *core, const struct target *target, const struct extent *extent)
{
	if (extent->dismissed && target->policy.hugepages == HUGEPAGES_FOLD)
		return false;
	return !means_is_whole(core, target) && extent->was_huge &&
	       core->features.have[FEATURE_COLLAPSE] && extent_pages(extent) == EXTENT_PAGES;
}

/* Its huge page. What the kernel says against it is no error: khugepaged may get to it. */
static int rebuild(struct core *core, struct target *target, struct extent *extent, bool *ret_done)
{
	struct advice_request collapse = {
		extent->start, extent->end - extent->start, ADVICE_COLLAPSE, 0
	};
	const int error = means_advise(core, target, &collapse, 1);

	*ret_done = !error && !collapse.ret_result;
	if (*ret_done)
		extent->huge_lost = false;
	return error;
}

/*
 * COLLAPSE copies folded pages straight into the new huge page and holds the address space locked
 * for a millisecond or two, where UNMERGEABLE takes ten and a COLLAPSE after it copies all of it
 * once more. It wants the extent to be one mapping (hugepage_vma_revalidate() in mm/khugepaged.c),
 * and a trim has cut it: so all of it is marked first.
 */
static int rebuild_folded(
	struct core *core, struct target *target, struct extent *extent, bool *ret_done)
{
	struct advice_request join[2] = {
		{ extent->start, extent->end - extent->start, ADVICE_MERGEABLE, 0 }
	};
	const size_t joins = fold_advice_undo(core, extent, &join[1]) ? 2 : 1;
	const int error = means_advise(core, target, join, joins);

	*ret_done = false;
	return error ? error : rebuild(core, target, extent, ret_done);
}

/* One piece: 0 or -errno of the hook; what the kernel said is in the request. */
static int unmark_piece(struct core *core, struct target *target, struct advice_request *request,
	uint64_t *ret_took_ns)
{
	const struct timespec breather = { .tv_nsec = BREATHER_NS };
	const uint64_t before_ns = clock_monotonic_ns();
	const int error = means_advise(core, target, request, 1);

	*ret_took_ns = clock_monotonic_ns() - before_ns;
	if (*ret_took_ns > BREATHER_AFTER_NS)
		(void)nanosleep(&breather, NULL);
	return error;
}

static int unmark(struct core *core, struct target *target, const struct extent *extent,
	struct unfold_pace *pace)
{
	int error = 0;

	for (uint64_t start = extent->start; !error && start < extent->end;) {
		const uint64_t left = extent->end - start, piece = pace->pages * PAGE_BYTES;
		struct advice_request request = { start, left < piece ? left : piece,
			ADVICE_UNMERGEABLE, 0 };
		uint64_t took_ns;

		error = unmark_piece(core, target, &request, &took_ns);
		if (!error)
			error = request.ret_result;
		start += request.length;
		pace_learn(pace, took_ns);
	}
	return error;
}

int unfold_extent(
	struct core *core, struct target *target, struct extent *extent, struct unfold_pace *pace)
{
	struct unfold_pace all_at_once = { .budget_ns = pace->budget_ns, .pages = EXTENT_PAGES };
	const bool rebuilds = unfold_rebuilds(core, target, extent);
	struct advice_request undo;
	bool rebuilt = false;
	int error = 0;

	if (rebuilds)
		error = rebuild_folded(core, target, extent, &rebuilt);
	/* Once it is rebuilt there is nothing to copy. */
	if (!error)
		error = unmark(core, target, extent, rebuilt ? &all_at_once : pace);
	if (!error && !rebuilds && fold_advice_undo(core, extent, &undo))
		error = means_advise(core, target, &undo, 1);
	/* Folded pages that somebody held, or that had just come, can be in the way, but not for ever. */
	if (!error && rebuilds && !rebuilt)
		error = rebuild(core, target, extent, &rebuilt);
	return error;
}
