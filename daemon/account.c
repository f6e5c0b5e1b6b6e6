// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/account.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "daemon/fold_look.h"
#include "daemon/heir_frames.h"
#include "daemon/tally.h"
#include "hypervisor-glue/smaps.h"

/* struct ksm_rmap_item and struct ksm_stable_node in mm/ksm.c; general_profit uses the same figure. */
#define KSM_ITEM_BYTES 64

/* What was lost before an earlier release is lost until it is seen again. */
static void account_huge(struct extent *extent, bool huge)
{
	extent->huge = huge;
	if (huge)
		extent->huge_lost = false;
	else if (extent->was_huge)
		extent->huge_lost = true;
}

static void account_breaks(
	struct extent *extent, const struct fold_look *look, struct break_counts *ret_broken)
{
	*ret_broken = (struct break_counts){ 0 };
	if (!extent->memory)
		extent->memory = calloc(1, sizeof(*extent->memory));
	if (!extent->memory)
		return; /* nothing is counted before there is room to remember in */
	breaks_look(extent->memory, look->folds, extent_pages(extent), look->huge, ret_broken);
	extent->breaks += (uint32_t)(ret_broken->ksm + ret_broken->zero);
}

static int extent_look(struct guest *guest, struct extent *extent, struct fold_look *ret_look,
	struct break_counts *ret_broken)
{
	const int error = fold_look_take(guest, extent, ret_look);

	if (error)
		return error;
	extent->folded = (uint16_t)ret_look->shared;
	extent->zero_after = (uint16_t)ret_look->zero;
	account_huge(extent, ret_look->huge);
	account_breaks(extent, ret_look, ret_broken);
	return 0;
}

static int target_look(struct target *target, struct extent *extent, struct fold_look *ret_look)
{
	struct break_counts broken;
	const int error = extent_look(&target->guest, extent, ret_look, &broken);

	if (!error)
		break_counts_add(&target->cost.broken, &broken);
	return error;
}

int account_extent(struct target *target, struct extent *extent, uint8_t *ret_tenures)
{
	struct fold_look look;
	const int error = target_look(target, extent, &look);

	if (!error)
		memcpy(ret_tenures, look.tenures, extent_pages(extent));
	return error;
}

int account_begin(struct target *target, struct extent *extent)
{
	struct fold_memory *memory;
	struct fold_look look;
	const int error = fold_look_take(&target->guest, extent, &look);

	if (error)
		return error;
	memory = calloc(1, sizeof(*memory));
	if (!memory)
		return -ENOMEM;
	breaks_begin(memory, look.folds, extent_pages(extent));
	free(extent->memory);
	extent->memory = memory;
	extent->zero_before = extent->zero_after = (uint16_t)look.zero;
	extent->folded = 0;
	extent->was_huge = extent->huge = look.huge;
	return 0;
}

bool account_before_read(
	struct guest *guest, struct extent *extent, struct break_counts *ret_broken)
{
	struct fold_look look;

	*ret_broken = (struct break_counts){ 0 };
	return extent->marked && extent_look(guest, extent, &look, ret_broken) == 0 && look.lonely;
}

void account_after_read(struct guest *guest, struct extent *extent)
{
	struct break_counts ours = { 0 };
	struct fold_look look;

	if (extent->memory && fold_look_take(guest, extent, &look) == 0)
		breaks_look(extent->memory, look.folds, extent_pages(extent), look.huge, &ours);
}

void account_look(struct target *target)
{
	for (size_t i = 0; i < target->guest.map.count; i++) {
		struct extent *extent = &target->guest.map.extents[i];
		struct fold_look look;

		if (extent->marked)
			(void)target_look(target, extent, &look); /* unmapped: the next map drops it */
	}
}

/* All of a VM's shared pages are folds: a VMM shares no RAM by fork. */
static void vm_tally(const struct extent *extent, const struct fold_look *look, struct tally *tally)
{
	for (unsigned page = 0; page < extent_pages(extent); page++)
		if (look->tenures[page] == PAGE_SHARED)
			(void)tally_see(tally, look->numbers[page]);
}

static void process_tally(const struct target *target, const struct extent *extent,
	const struct fold_look *look, struct tally *tally, struct heir_frames *heirs)
{
	for (unsigned page = 0; page < extent_pages(extent); page++) {
		const uint64_t number = look->numbers[page];

		if (look->folds[page] != FOLD_KSM)
			continue;
		tally_add_folded(tally,
			&(struct folded_page){
				.number = number,
				.mappings = look->mappings[page],
				.inherited = heir_frames_mappings(heirs, number),
				.before = target->inherited ? SHARED_BY_FORK
					: extent->shared_before ? extent->shared_before[page]
								: 1,
			});
	}
}

static int extent_tally(struct target *target, struct extent *extent, struct tally *tally,
	struct heir_frames *heirs)
{
	struct fold_look look;
	const int error = target_look(target, extent, &look);

	if (error)
		return error;
	if (target->guest.is_vm)
		vm_tally(extent, &look, tally);
	else
		process_tally(target, extent, &look, tally, heirs);
	return 0;
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

		if (!extent->marked)
			continue;
		target->marked_extents++;
		if (extent_tally(target, extent, &tally, heirs) < 0)
			continue; /* unmapped meanwhile: the next map drops it */
		target->folded_pages += extent->folded;
		zero_pages += extent->zero_after - extent->zero_before;
		zeros = zeros || extent->zero_after;
	}
	target->booked_look = target->guest.looks;
	target->booked_ns = clock_monotonic_ns();
	target_settle(target, &tally, zero_pages > 0 ? zero_pages * (int64_t)PAGE_BYTES : 0, zeros);
}

/* Nobody has looked since, or done anything that would show. */
static bool books_hold(const struct core *core, const struct target *target)
{
	return target->spared && target->booked_look == target->guest.looks &&
	       !target->guest.advised && target->looked_bursts == core->bursts;
}

void account_target(const struct core *core, struct target *target)
{
	_cleanup_(heir_frames_done) struct heir_frames heirs = { 0 };

	if (!target->guest.is_vm)
		heir_frames_collect(core, &heirs);
	target_account(target, &heirs);
}

static void targets_account(struct core *core, bool all)
{
	_cleanup_(heir_frames_done) struct heir_frames heirs = { 0 };

	heir_frames_collect(core, &heirs);
	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];
		const struct ledger_stretch stretch = ledger_begin(core);

		if (target->mapped && !books_hold(core, target) &&
			(all || target->booked_look != target->guest.looks))
			target_account(target, &heirs);
		ledger_end_for(core, stretch, target);
	}
}

void account_targets(struct core *core)
{
	targets_account(core, true);
}

void account_targets_looked_at(struct core *core)
{
	targets_account(core, false);
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
	bool all_tell = true;
	int64_t items = 0;

	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];
		struct process_ksm ksm;

		target->ksm_item_bytes = NOT_MEASURED;
		if (process_ksm_read(&core->root, target_pid(target), &ksm) < 0 ||
			ksm.rmap_items == KSM_KNOB_ABSENT) {
			all_tell = false;
			continue;
		}
		target->ksm_item_bytes = KSM_ITEM_BYTES * ksm.rmap_items;
		items += ksm.rmap_items;
	}
	if (!all_tell || own == NOT_MEASURED || ksm_counters_read(&core->root, &counters) < 0)
		return NOT_MEASURED;
	return own + KSM_ITEM_BYTES * (items + (int64_t)counters.pages_shared);
}
