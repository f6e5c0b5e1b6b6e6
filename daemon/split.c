// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The first merge within a huge page splits it, and the split hands the zero pages that were in it to the
 * kernel's zero page. Where that happens under ksmd, it has entered those pages in its unstable tree
 * already: the entries point nowhere, twins beside them are not found, and a good part of the merges waits
 * for one more full scan. Where the huge page is split beforehand, the zero pages are gone before ksmd
 * looks, and two scans do what takes three (four guests of 1.5 GiB: ksmd's CPU falls by a quarter).
 *
 * MADV_COLD splits a huge page of which it is given a part, as madvise(2) has it for no other harmless
 * advice. All else that it does is to tell the kernel that the part will hardly be used soon: it is given one
 * zero page, which the split takes out of the process anyway.
 */
#include "daemon/split.h"

#include <stdlib.h>

#include "common/cleanup.h"
#include "daemon/log.h"
#include "daemon/means.h"

static bool zero_page_find(const struct extent *extent, uint64_t *ret_address)
{
	const unsigned first = extent_first_page(extent);

	for (unsigned i = 0; extent->prints && i < extent_pages(extent); i++)
		if (extent_prints_state(extent->prints, first + i) == PAGE_ZERO) {
			*ret_address = extent->start + i * PAGE_BYTES;
			return true;
		}
	return false;
}

static bool is_wanted(const struct extent *extent, uint64_t *ret_page)
{
	return extent->marked && extent->fresh && extent->huge && zero_page_find(extent, ret_page);
}

/* True: something was split. */
static bool target_split(struct core *core, struct target *target)
{
	const struct extent_map *map = &target->guest.map;
	_cleanup_free_ struct advice_request *requests = calloc(map->count + 1, sizeof(*requests));
	size_t wanted = 0, refused = 0;
	uint64_t page;

	for (size_t i = 0; requests && i < map->count; i++)
		if (is_wanted(&map->extents[i], &page))
			requests[wanted++] =
				(struct advice_request){ page, PAGE_BYTES, ADVICE_COLD, 0 };
	if (!wanted || means_advise(core, target, requests, wanted) < 0)
		return false;
	for (size_t i = 0; i < wanted; i++)
		refused += requests[i].ret_result != 0;
	if (refused)
		log_info("%s (pid %d): %zu of %zu huge pages could not be split beforehand",
			target_name(target), (int)target_pid(target), refused, wanted);
	return refused < wanted;
}

bool split_huge_pages(struct core *core)
{
	bool any = false;

	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];

		if (target_wants_folds(target, core->active_group) && target->hook &&
			!target->hook->ops->whole)
			any = target_split(core, target) || any;
	}
	return any;
}
