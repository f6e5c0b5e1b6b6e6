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
#include "daemon/breaks.h"
#include "daemon/fold.h"
#include "daemon/means.h"
#include "daemon/whole.h"
#include "hypervisor-glue/pagemap.h"

struct trim {
	struct core *core;
	struct target *target;
	unsigned min_run;
	uint64_t vma_room;
	struct advice_request *requests;
	size_t count, room;
};

static int trim_add(struct trim *trim, const struct advice_request *request)
{
	struct advice_request *last = trim->count ? &trim->requests[trim->count - 1] : NULL;

	if (last && last->advice == request->advice &&
		last->start + last->length == request->start) {
		last->length += request->length;
		return 0;
	}
	if (trim->count == trim->room) {
		const size_t room = trim->room ? trim->room * 2 : 256;
		struct advice_request *requests =
			reallocarray(trim->requests, room, sizeof(*requests));

		if (!requests)
			return -ENOMEM;
		trim->requests = requests;
		trim->room = room;
	}
	trim->requests[trim->count++] = *request;
	return 0;
}

/* A page is folded when others map its frame too: a KSM page with a partner, or the zero page. */
static int trim_runs(struct trim *trim, const struct extent *extent, const uint8_t *tenures)
{
	const unsigned pages = extent_pages(extent);
	int error = 0;

	for (unsigned page = 0; !error && page < pages;) {
		const unsigned first = page;

		while (page < pages && tenures[page] != PAGE_SHARED)
			page++;
		if (page - first >= trim->min_run && trim->vma_room >= 2) {
			const struct advice_request request = {
				.start = extent->start + first * PAGE_BYTES,
				.length = (page - first) * PAGE_BYTES,
				.advice = ADVICE_UNMERGEABLE,
			};

			trim->vma_room -= 2;
			error = trim_add(trim, &request);
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
	const struct advice_request unmark = {
		.start = extent->start,
		.length = extent->end - extent->start,
		.advice = ADVICE_UNMERGEABLE,
	};
	struct advice_request advice;
	int error = trim_add(trim, &unmark);

	if (!error && fold_advice_undo(trim->core, extent, &advice))
		error = trim_add(trim, &advice);
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
	if (!error && trim.count)
		error = means_advise(core, target, trim.requests, trim.count);
	if (!error) {
		trim_finish(target, core->pass_number, fresh_only);
		error = core_record(core);
	}
	free(trim.requests);
	return error;
}
