// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/release.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "daemon/account.h"
#include "daemon/fold.h"
#include "daemon/log.h"
#include "daemon/means.h"
#include "daemon/unfold.h"
#include "daemon/whole.h"
#include "hypervisor-glue/host_memory.h"

/* What the host keeps: a twentieth of its memory, and 128 MiB at the least. */
#define RESERVE_DIVISOR     20
#define RESERVE_LEAST_BYTES (UINT64_C(128) << 20)

/* After each batch the headroom is looked at again: 32 MiB at the most come back in between. */
#define EXTENTS_PER_BATCH 16

static unsigned long long mib(uint64_t bytes)
{
	return (unsigned long long)((bytes + (1 << 20) - 1) >> 20);
}

int release_headroom(
	const struct core *core, pid_t pid, uint64_t need_bytes, char **ret_reason)
{
	uint64_t cgroup_bytes = MEMCG_UNLIMITED, reserve;
	struct host_memory memory;
	int error;

	*ret_reason = NULL;
	error = host_memory_read(&core->root, &memory);
	if (!error)
		error = memcg_headroom_read(&core->root, pid, &cgroup_bytes);
	if (error) {
		text_set(ret_reason, "how much memory is free cannot be read: %s", strerror(-error));
		return error;
	}
	reserve = memory.total_bytes / RESERVE_DIVISOR;
	if (reserve < RESERVE_LEAST_BYTES)
		reserve = RESERVE_LEAST_BYTES;
	if (need_bytes + reserve > memory.available_bytes) {
		text_set(ret_reason,
			"it needs %llu MiB, and the host has %llu MiB available, of which %llu MiB are "
			"kept in reserve; free memory first, or use --force at the risk of an OOM kill",
			mib(need_bytes), mib(memory.available_bytes), mib(reserve));
		return -ENOSPC;
	}
	if (need_bytes > cgroup_bytes) {
		text_set(ret_reason,
			"it needs %llu MiB, and the memory cgroup of process %d has room for %llu MiB; "
			"raise its limit first, or use --force at the risk of an OOM kill",
			mib(need_bytes), (int)pid, mib(cgroup_bytes));
		return -ENOSPC;
	}
	return 0;
}

static uint64_t extent_need_bytes(
	const struct core *core, struct target *target, struct extent *extent)
{
	uint8_t tenures[EXTENT_PAGES];
	unsigned own = 0;

	if (account_extent(target, extent, tenures) < 0)
		return 0; /* gone: nothing to give back */
	if (!unfold_rebuilds(core, target, extent))
		return (uint64_t)(extent->folded + extent->zero_after) * PAGE_BYTES;
	for (unsigned page = 0; page < EXTENT_PAGES; page++)
		own += tenures[page] == PAGE_OWN;
	/* A collapse takes the new huge page before it frees the old small ones: one extent's worth
	 * at a time, covered by the reserve. */
	return (EXTENT_PAGES - own) * PAGE_BYTES;
}

static bool is_chosen(const struct extent *extent, enum release_choice choice)
{
	return extent->marked && (choice != RELEASE_EXPOSED || extent->exposed) &&
		(choice != RELEASE_DISMISSED || extent->dismissed);
}

static uint64_t need_bytes_of(
	const struct core *core, struct target *target, enum release_choice choice)
{
	uint64_t need = 0;

	for (size_t i = 0; i < target->guest.map.count; i++)
		if (is_chosen(&target->guest.map.extents[i], choice))
			need += extent_need_bytes(core, target, &target->guest.map.extents[i]);
	return need;
}

uint64_t release_need_bytes(const struct core *core, struct target *target)
{
	return need_bytes_of(core, target, RELEASE_ALL);
}

static void extent_released(const struct core *core, struct extent *extent)
{
	if (extent->dismissed)
		extent->due_ns = 0;
	payoff_released(extent, core->pass_number);
	extent_unmark(extent);
	extent_doubt(extent);
}

/* A failed UNMERGEABLE (no memory) leaves the extent marked and recorded, and the others are tried. */
static int batch_release(
	struct core *core, struct target *target, struct extent **extents, size_t count, struct unfold_pace *pace)
{
	int failed = 0;

	for (size_t i = 0; i < count; i++) {
		const int error = unfold_extent(core, target, extents[i], pace);

		if (!error)
			extent_released(core, extents[i]);
		else if (!target->hook)
			return error;
		else
			failed = error;
	}
	return failed;
}

static int release_extents(
	struct core *core, struct target *target, enum release_choice choice, char **ret_reason)
{
	const struct extent_map *map = &target->guest.map;
	struct unfold_pace pace = unfold_pace_begin(core);
	int error = 0;

	for (size_t i = 0; !error && i < map->count;) {
		struct extent *batch[EXTENTS_PER_BATCH];
		size_t count = 0;
		uint64_t need = 0;

		for (; i < map->count && count < EXTENTS_PER_BATCH; i++) {
			if (!is_chosen(&map->extents[i], choice))
				continue;
			batch[count++] = &map->extents[i];
			need += extent_need_bytes(core, target, &map->extents[i]);
		}
		if (!count)
			break;
		if (choice != RELEASE_ALL_BY_FORCE)
			error = release_headroom(core, target_pid(target), need, ret_reason);
		if (!error)
			error = batch_release(core, target, batch, count, &pace);
		(void)interrupt_raised(core->interrupt); /* a heartbeat: a release may take long */
	}
	return error;
}

/* All at once, and in QEMU's main loop: it stands still meanwhile. */
static int release_whole(
	struct core *core, struct target *target, uint64_t need_bytes, char **ret_reason)
{
	int error;

	whole_warn(target, need_bytes);
	error = whole_unmark(core, target);
	for (size_t i = 0; !error && i < target->guest.map.count; i++)
		extent_doubt(&target->guest.map.extents[i]);
	if (!error && need_bytes >= WHOLE_WARN_BYTES)
		text_set(ret_reason,
			"%llu MiB were copied back by QEMU itself, which stood still meanwhile (hook "
			"qmp; the ring would have done it bit by bit)", mib(need_bytes));
	return error;
}

/* Against the stall budget, which the requests are cut to. */
static void release_tell(const struct core *core, const struct target *target, struct fold_cost before)
{
	const uint64_t requests = target->cost.requests - before.requests;
	const uint64_t delay_ns = target->cost.delay_ns - before.delay_ns;

	if (requests)
		log_info("%s (pid %d): released by %llu requests in %.1f ms; on average one held up its "
			 "page faults for %.2f ms, the stall budget is %llu ms",
			target_name(target), (int)target_pid(target), (unsigned long long)requests,
			(double)delay_ns / (double)NS_PER_MS,
			(double)delay_ns / (double)NS_PER_MS / (double)requests,
			(unsigned long long)core->config.stall_budget_ms);
}

int release_target(
	struct core *core, struct target *target, enum release_choice choice, char **ret_reason)
{
	const struct fold_cost before = target->cost;
	uint64_t need_bytes;
	int error, recorded;

	*ret_reason = NULL;
	if (!target_has_marks(target))
		return 0;
	if (target_is_watched(&core->root, target)) {
		text_set(ret_reason, "a snapshot of it is being taken in the background (userfaultfd): "
				     "try again when that is done");
		return -EBUSY;
	}
	error = means_attach_to_release(core, target, choice == RELEASE_ALL_BY_FORCE);
	if (error) {
		means_explain(core, target, error, ret_reason);
		return error;
	}
	if (target->hook->ops->whole && choice == RELEASE_EXPOSED)
		choice = RELEASE_ALL; /* it is all or nothing */
	need_bytes = need_bytes_of(core, target, choice);
	if (choice != RELEASE_ALL_BY_FORCE)
		error = release_headroom(core, target_pid(target), need_bytes, ret_reason);
	if (!error && target->hook->ops->whole)
		error = release_whole(core, target, need_bytes, ret_reason);
	else if (!error)
		error = release_extents(core, target, choice, ret_reason);
	if (error && !*ret_reason)
		means_explain(core, target, error, ret_reason);
	release_tell(core, target, before);
	if (choice != RELEASE_DISMISSED)
		core->index_stale = true; /* else it is a few pages, which are read again anyway */
	recorded = core_record(core);
	if (!error && recorded)
		text_set(ret_reason, "released, but the state record could not be written: %s",
			strerror(-recorded));
	return error ? error : recorded;
}
