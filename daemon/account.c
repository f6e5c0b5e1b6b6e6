// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/account.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "hypervisor-glue/pagemap.h"
#include "hypervisor-glue/smaps.h"

/* struct ksm_rmap_item and struct ksm_stable_node in mm/ksm.c; general_profit uses the same figure. */
#define KSM_ITEM_BYTES 64

static int account_vm_extent(struct target *target, struct extent *extent, uint8_t *tenures)
{
	struct pagemap *pagemap = &target->guest.pagemap;
	struct page_counts counts;
	unsigned shared = 0;
	int error;

	error = pagemap_tenures(pagemap, extent->start, extent_pages(extent), tenures);
	if (!error)
		error = pagemap_count(pagemap, extent->start, extent->end, &counts);
	if (error)
		return error;
	for (unsigned page = 0; page < extent_pages(extent); page++)
		shared += tenures[page] == PAGE_SHARED;
	extent->zero_after = (uint16_t)counts.zero_page;
	extent->folded = (uint16_t)(shared > counts.zero_page ? shared - counts.zero_page : 0);
	return 0;
}

/* The share of a frame that stopped being this process's when its page was folded. */
static double frame_saved(const struct extent *extent, unsigned page, const struct page_frame *frame)
{
	const unsigned before = extent->shared_before && extent->shared_before[page]
		? extent->shared_before[page]
		: 1;

	return frame->mapcount ? 1.0 / before - 1.0 / frame->mapcount : 0;
}

static int account_process_extent(
	struct target *target, struct extent *extent, uint8_t *tenures, double *ret_saved)
{
	struct page_frame frames[EXTENT_PAGES];
	unsigned folded = 0, zero = 0;
	int error;

	error = pagemap_frames(
		&target->guest.pagemap, extent->start, extent_pages(extent), frames);
	if (error)
		return error;
	for (unsigned page = 0; page < extent_pages(extent); page++) {
		const struct page_frame *frame = &frames[page];

		tenures[page] = frame->ksm || frame->zero ? PAGE_SHARED
			: frame->pfn                      ? PAGE_OWN
							  : PAGE_NOT_PRESENT;
		folded += frame->ksm;
		zero += frame->zero;
		if (frame->ksm)
			*ret_saved += frame_saved(extent, page, frame);
	}
	extent->folded = (uint16_t)folded;
	extent->zero_after = (uint16_t)zero;
	return 0;
}

int account_extent(struct target *target, struct extent *extent, uint8_t *ret_tenures,
	double *ret_saved_pages)
{
	*ret_saved_pages = 0;
	return target->guest.is_vm
		? account_vm_extent(target, extent, ret_tenures)
		: account_process_extent(target, extent, ret_tenures, ret_saved_pages);
}

/* What a VM shares without a mark of ours is somebody else's doing. */
static int64_t vm_shared_bytes(const struct target *target)
{
	const struct guest *guest = &target->guest;

	return target->marked_extents && guest->rss_bytes > guest->pss_bytes
		? (int64_t)(guest->rss_bytes - guest->pss_bytes)
		: 0;
}

void account_target(struct target *target)
{
	double saved_pages = 0;
	int64_t zero_pages = 0;

	target->marked_extents = target->folded_pages = 0;
	for (size_t i = 0; i < target->guest.map.count; i++) {
		struct extent *extent = &target->guest.map.extents[i];
		uint8_t tenures[EXTENT_PAGES];
		double saved;

		if (!extent->marked)
			continue;
		target->marked_extents++;
		if (account_extent(target, extent, tenures, &saved) < 0)
			continue; /* unmapped meanwhile: the next map drops it */
		target->folded_pages += extent->folded;
		zero_pages += extent->zero_after - extent->zero_before;
		saved_pages += saved;
	}
	target->reclaimed_zero_bytes = zero_pages > 0 ? zero_pages * (int64_t)PAGE_BYTES : 0;
	/* Without any folding an heir would share these pages with the process that it was forked from. */
	if (target->inherited) {
		target->reclaimed_zero_bytes = target->reclaimed_bytes = 0;
		return;
	}
	target->reclaimed_bytes = target->reclaimed_zero_bytes +
		(target->guest.is_vm ? vm_shared_bytes(target)
				     : llround(saved_pages * (double)PAGE_BYTES));
}

void account_targets(struct core *core)
{
	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];
		const struct ledger_stretch stretch = ledger_begin(core);

		if (target->mapped)
			account_target(target);
		ledger_end_for(core, stretch, target);
	}
}

static int64_t own_resident_bytes(const struct core *core)
{
	_cleanup_free_ char *text = NULL;
	char *second;

	if (host_root_read_process(&core->root, getpid(), "statm", &text, NULL) < 0)
		return NOT_MEASURED;
	(void)strtoull(text, &second, 10);
	return (int64_t)(strtoull(second, NULL, 10) * PAGE_BYTES);
}

int64_t account_metadata_bytes(const struct core *core)
{
	const int64_t own = own_resident_bytes(core);
	struct ksm_counters counters;
	int64_t items = 0;

	if (own == NOT_MEASURED || ksm_counters_read(&core->root, &counters) < 0)
		return NOT_MEASURED;
	for (size_t i = 0; i < core->registry.count; i++) {
		struct process_ksm ksm;

		if (process_ksm_read(&core->root, target_pid(core->registry.targets[i]), &ksm) < 0 ||
			ksm.rmap_items == KSM_KNOB_ABSENT)
			return NOT_MEASURED;
		items += ksm.rmap_items;
	}
	return own + KSM_ITEM_BYTES * (items + (int64_t)counters.pages_shared);
}
