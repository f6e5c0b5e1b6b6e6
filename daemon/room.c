// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/room.h"

#include <errno.h>
#include <stdio.h>

#include "hypervisor-glue/host_memory.h"

/* A VMM needs VMAs of its own (threads, devices, hot-plug): a quarter of vm.max_map_count is left to it. */
#define VMA_RESERVE_DIVISOR 4

/* struct vm_area_struct, its struct anon_vma_chain and its share of the maple tree: 525 bytes were measured for
 * each on 6.18. */
#define VMA_BYTES 1024

/* Left to the process itself. */
#define CGROUP_RESERVE_BYTES (UINT64_C(1) << 20)

/* Less than the reserve, or a process that may be marked could not be reached: the ring, its threads' stacks and the
 * 64 pages that each CPU takes out of a cgroup at once. A process whose cgroup had 64 KiB was ended in io_uring_setup(2)
 * on 6.18. */
#define RING_BYTES (UINT64_C(512) << 10)

static uint64_t cgroup_room_bytes(const struct core *core, const struct target *target)
{
	uint64_t bytes;

	return memcg_headroom_read(&core->root, target_pid(target), &bytes) < 0 ? MEMCG_UNLIMITED : bytes;
}

static uint64_t cgroup_vmas(uint64_t bytes)
{
	return bytes > CGROUP_RESERVE_BYTES ? (bytes - CGROUP_RESERVE_BYTES) / VMA_BYTES : 0;
}

static uint64_t lesser(uint64_t one, uint64_t other)
{
	return one < other ? one : other;
}

void room_look(const struct core *core, struct target *target, uint64_t max_map_count)
{
	const uint64_t usable = max_map_count - max_map_count / VMA_RESERVE_DIVISOR;
	const uint64_t used = target->guest.smaps.count;
	const bool matters = target_wants_folds(target, core->active_group) || target_has_marks(target);

	target->mappings_room = used < usable ? usable - used : 0;
	target->cgroup_room_bytes = matters ? cgroup_room_bytes(core, target) : MEMCG_UNLIMITED;
	target->vma_room = lesser(target->mappings_room, cgroup_vmas(target->cgroup_room_bytes));
}

bool room_is_cgroups(const struct target *target)
{
	return target->vma_room < target->mappings_room;
}

int room_for_ring(const struct core *core, const struct target *target, char reason[HOOK_REASON_BYTES])
{
	if (cgroup_room_bytes(core, target) >= RING_BYTES)
		return 0;
	/* Always the same words: a refusal is logged when it is another than the last. */
	(void)snprintf(reason, HOOK_REASON_BYTES,
		"its memory cgroup has room for less than %llu KiB, which the ring may take: raise its limit first",
		(unsigned long long)(RING_BYTES >> 10));
	return -ENOSPC;
}
