// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/account.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "daemon/heir_frames.h"
#include "daemon/tally.h"
#include "hypervisor-glue/pagemap.h"
#include "hypervisor-glue/smaps.h"

/* struct ksm_rmap_item and struct ksm_stable_node in mm/ksm.c; general_profit uses the same figure. */
#define KSM_ITEM_BYTES 64

/* All of a VM's shared pages are folds: a VMM shares no RAM by fork. */
static int account_vm_extent(
	struct target *target, struct extent *extent, uint8_t *tenures, struct tally *tally)
{
	struct pagemap *pagemap = &target->guest.pagemap;
	uint64_t numbers[EXTENT_PAGES];
	struct page_counts counts;
	unsigned shared = 0;
	int error;

	error = pagemap_shared_frames(
		pagemap, extent->start, extent_pages(extent), tenures, numbers);
	if (!error)
		error = pagemap_count(pagemap, extent->start, extent->end, &counts);
	if (error)
		return error;
	for (unsigned page = 0; page < extent_pages(extent); page++) {
		shared += tenures[page] == PAGE_SHARED;
		if (tally && tenures[page] == PAGE_SHARED)
			(void)tally_see(tally, numbers[page]);
	}
	extent->zero_after = (uint16_t)counts.zero_page;
	extent->folded = (uint16_t)(shared > counts.zero_page ? shared - counts.zero_page : 0);
	return 0;
}

static void tally_frame(struct tally *tally, struct heir_frames *heirs, const struct target *target,
	const struct page_frame *frame, uint32_t before)
{
	tally_add_folded(tally,
		&(struct folded_page){
			.number = frame->pfn,
			.mappings = frame->mapcount,
			.inherited = target->inherited ? 0 : heir_frames_mappings(heirs, frame->pfn),
			.before = before,
		});
}

static int account_process_extent(struct target *target, struct extent *extent, uint8_t *tenures,
	struct tally *tally, struct heir_frames *heirs)
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
		if (tally && frame->ksm)
			tally_frame(tally, heirs, target, frame,
				extent->shared_before ? extent->shared_before[page] : 1);
	}
	extent->folded = (uint16_t)folded;
	extent->zero_after = (uint16_t)zero;
	return 0;
}

/* tally NULL: how many there are is all that is wanted. */
static int extent_tally(struct target *target, struct extent *extent, uint8_t *tenures,
	struct tally *tally, struct heir_frames *heirs)
{
	return target->guest.is_vm
		? account_vm_extent(target, extent, tenures, tally)
		: account_process_extent(target, extent, tenures, tally, heirs);
}

int account_extent(struct target *target, struct extent *extent, uint8_t *ret_tenures)
{
	return extent_tally(target, extent, ret_tenures, NULL, NULL);
}

/* What a VM shares without a mark of ours is somebody else's doing. */
static int64_t vm_shared_bytes(const struct target *target)
{
	const struct guest *guest = &target->guest;

	return target->marked_extents && guest->rss_bytes > guest->pss_bytes
		? (int64_t)(guest->rss_bytes - guest->pss_bytes)
		: 0;
}

static int64_t pages_bytes(double pages)
{
	return llround(pages * (double)PAGE_BYTES);
}

/* The page tables were looked at a moment later than smaps: twins of its own are never more than there are. */
static void target_settle(struct target *target, const struct tally *tally, int64_t zero_bytes, bool zeros)
{
	const bool is_vm = target->guest.is_vm;
	const int64_t shared = is_vm ? vm_shared_bytes(target) : pages_bytes(tally->saved_pages);
	const int64_t self = is_vm
		? (int64_t)(tally_self_pages(tally, target->folded_pages, zeros) * PAGE_BYTES)
		: pages_bytes(tally->self_pages);

	target->exposure_bytes =
		zero_bytes + (is_vm ? shared : pages_bytes(tally->exposed_pages));
	/* Without any folding an heir would share these pages with the process that it was forked from. */
	if (target->inherited) {
		target->reclaimed_zero_bytes = target->reclaimed_self_bytes = 0;
		target->reclaimed_bytes = 0;
		return;
	}
	target->reclaimed_zero_bytes = zero_bytes;
	target->reclaimed_bytes = zero_bytes + shared;
	target->reclaimed_self_bytes = tally->hidden ? NOT_MEASURED : self < shared ? self : shared;
}

static void target_account(struct target *target, struct heir_frames *heirs)
{
	_cleanup_(tally_done) struct tally tally = { 0 };
	int64_t zero_pages = 0;
	bool zeros = false;

	target->marked_extents = target->folded_pages = 0;
	for (size_t i = 0; i < target->guest.map.count; i++) {
		struct extent *extent = &target->guest.map.extents[i];
		uint8_t tenures[EXTENT_PAGES];

		if (!extent->marked)
			continue;
		target->marked_extents++;
		if (extent_tally(target, extent, tenures, &tally, heirs) < 0)
			continue; /* unmapped meanwhile: the next map drops it */
		target->folded_pages += extent->folded;
		zero_pages += extent->zero_after - extent->zero_before;
		zeros = zeros || extent->zero_after;
	}
	target_settle(target, &tally, zero_pages > 0 ? zero_pages * (int64_t)PAGE_BYTES : 0, zeros);
}

void account_target(const struct core *core, struct target *target)
{
	_cleanup_(heir_frames_done) struct heir_frames heirs = { 0 };

	if (!target->guest.is_vm && !target->inherited)
		heir_frames_collect(core, &heirs);
	target_account(target, &heirs);
}

void account_targets(struct core *core)
{
	_cleanup_(heir_frames_done) struct heir_frames heirs = { 0 };

	heir_frames_collect(core, &heirs);
	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];
		const struct ledger_stretch stretch = ledger_begin(core);

		if (target->mapped)
			target_account(target, &heirs);
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
