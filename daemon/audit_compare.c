// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The strangers' KSM frames are listed and sorted, then every folded page of the active group is
 * looked up in the list. ksmd stands still meanwhile, and frames of KSM are made by ksmd alone:
 * what is one in both looks was the same frame all the time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/audit.h"
#include "daemon/core.h"
#include "daemon/foreign.h"
#include "daemon/held_frames.h"
#include "hypervisor-glue/pagemap.h"
#include "hypervisor-glue/smaps.h"

struct comparison {
	struct core *core;
	struct held_frames held; /* the strangers', by their place in the list */
	uint64_t *counts;        /* of shared ones, by stranger */
	uint64_t frames;         /* all together */
};

/* ---- ours ---- */

static int extent_meet(struct comparison *comparison, struct target *target, struct extent *extent)
{
	struct page_frame frames[EXTENT_PAGES];
	const unsigned pages = extent_pages(extent);
	const int error = pagemap_frames(&target->guest.pagemap, extent->start, pages, frames);

	for (unsigned page = 0; !error && page < pages; page++)
		if (frames[page].ksm && held_frames_meet(&comparison->held, frames[page].pfn))
			extent->exposed = extent->marked; /* else it is out of our reach */
	return error == -ESRCH ? 0 : error;
}

static int target_meet(struct comparison *comparison, struct target *target)
{
	const struct extent_map *map = &target->guest.map;
	int error = 0;

	for (size_t i = 0; !error && i < map->count; i++)
		if (map->extents[i].marked || map->extents[i].out_of_reach)
			error = extent_meet(comparison, target, &map->extents[i]);
	(void)interrupt_raised(comparison->core->interrupt); /* a heartbeat */
	return error;
}

static int held_meet_ours(struct comparison *comparison)
{
	struct core *core = comparison->core;
	int error = 0;

	held_frames_sort(&comparison->held);
	for (size_t i = 0; !error && comparison->held.count && i < core->registry.count; i++)
		if (!strcmp(core->registry.targets[i]->policy.group, core->active_group))
			error = target_meet(comparison, core->registry.targets[i]);
	if (!error)
		comparison->frames += held_frames_count(&comparison->held, comparison->counts);
	held_frames_clear(&comparison->held);
	return error;
}

/* ---- theirs ---- */

static int frame_hold(struct comparison *comparison, uint64_t number, uint32_t holder)
{
	int error = held_frames_add(&comparison->held, number, holder);

	if (error != -ENOSPC)
		return error;
	/* One list's worth after the other. */
	error = held_meet_ours(comparison);
	return error ? error : held_frames_add(&comparison->held, number, holder);
}

/* The part of it that lies in what we marked is no stranger's. */
static bool is_marked(const struct target *target, uint64_t address)
{
	const struct extent *extent = target ? extent_map_find(&target->guest.map, address) : NULL;

	return extent && extent->marked;
}

static int vma_hold(struct comparison *comparison, struct pagemap *pagemap, const struct vma *vma,
	const struct target *target, uint32_t holder)
{
	struct page_frame frames[EXTENT_PAGES];
	int error = 0;

	for (uint64_t at = vma->start; !error && at < vma->end;) {
		const uint64_t border = (at / EXTENT_BYTES + 1) * EXTENT_BYTES;
		const uint64_t end = border < vma->end ? border : vma->end;
		const size_t pages = (end - at) / PAGE_BYTES;

		error = pagemap_frames(pagemap, at, pages, frames);
		for (size_t page = 0; !error && page < pages; page++)
			if (frames[page].ksm && !is_marked(target, at + page * PAGE_BYTES))
				error = frame_hold(comparison, frames[page].pfn, holder);
		at = end;
	}
	(void)interrupt_raised(comparison->core->interrupt); /* a heartbeat */
	return error;
}

static int stranger_hold(struct comparison *comparison, pid_t pid, uint32_t holder)
{
	struct core *core = comparison->core;
	const struct target *target = registry_find(&core->registry, pid);
	struct pagemap pagemap;
	struct smaps_list smaps;
	int error;

	error = pagemap_open(&core->root, pid, false, &pagemap);
	if (error)
		return error == -ESRCH ? 0 : error;
	error = smaps_read(&core->root, pid, &smaps);
	if (!error) {
		for (size_t i = 0; !error && i < smaps.count; i++) {
			const struct vma *vma = &smaps.vmas[i];

			if (vma->flags & VMA_MERGEABLE && (vma->ksm_bytes || !smaps.has_ksm))
				error = vma_hold(comparison, &pagemap, vma, target, holder);
		}
		smaps_list_done(&smaps);
	}
	pagemap_done(&pagemap);
	return error == -ESRCH ? 0 : error; /* it took its pages with it */
}

static void exposures_forget(struct core *core)
{
	for (size_t i = 0; i < core->registry.count; i++) {
		const struct extent_map *map = &core->registry.targets[i]->guest.map;

		for (size_t e = 0; e < map->count; e++)
			map->extents[e].exposed = false;
	}
}

int audit_compare(struct core *core, const struct stranger *strangers, size_t stranger_count,
	uint64_t *ret_counts, uint64_t *ret_frames)
{
	struct comparison comparison = { .core = core, .counts = ret_counts };
	int error = 0;

	memset(ret_counts, 0, stranger_count * sizeof(*ret_counts));
	exposures_forget(core);
	for (size_t i = 0; !error && i < stranger_count; i++)
		error = stranger_hold(&comparison, strangers[i].pid, (uint32_t)i);
	if (!error)
		error = held_meet_ours(&comparison);
	held_frames_done(&comparison.held);
	if (!error)
		*ret_frames = comparison.frames;
	return error;
}
