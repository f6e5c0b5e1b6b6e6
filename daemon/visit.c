// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/visit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/log.h"
#include "daemon/throttle.h"
#include "hypervisor-glue/host_memory.h"

/* What stays the same is read again after 2, 4, 8 and then every 16 scan intervals. */
#define BACKOFF_MOST 4

static uint64_t memory_limit_bytes(const struct core *core)
{
	struct host_memory memory;

	if (core->config.memory_max_bytes)
		return core->config.memory_max_bytes;
	return host_memory_read(&core->root, &memory) == 0 ? memory.total_bytes / 100 : UINT64_MAX;
}

static uint64_t prints_bytes(const struct core *core)
{
	uint64_t bytes = 0;

	for (size_t t = 0; t < core->registry.count; t++) {
		const struct extent_map *map = &core->registry.targets[t]->guest.map;

		for (size_t e = 0; e < map->count; e++)
			bytes += map->extents[e].prints ? sizeof(struct extent_prints) : 0;
	}
	return bytes;
}

static void extent_visited(const struct core *core, struct extent *extent)
{
	const unsigned backoff = extent->quiet < BACKOFF_MOST ? extent->quiet : BACKOFF_MOST;

	extent->settling = false;
	extent->due_ns = clock_monotonic_ns() +
		((uint64_t)core->config.scan_interval_s * NS_PER_S << backoff);
}

struct round {
	struct core *core;
	struct throttle throttle;
	uint64_t room_bytes; /* for fingerprints of extents that have none yet */
	uint64_t unread;     /* extents there was no room for */
	bool interrupted;
};

static int extent_visit(struct round *round, struct target *target, struct extent *extent)
{
	struct core *core = round->core;
	const bool is_new = !extent->prints;
	const struct scan_source source = {
		.root = &core->root,
		.process = &target->guest.process,
		.pagemap = &target->guest.pagemap,
		.skip_fork_shared = !target->guest.is_vm,
	};
	int error;

	if (is_new && round->room_bytes < sizeof(struct extent_prints)) {
		round->unread++;
		return 0;
	}
	error = scan_extent(&core->scanner, &source, extent);
	if (error)
		return error;
	if (is_new && extent->prints)
		round->room_bytes -= sizeof(struct extent_prints);
	core->pass_pages += extent->pages_read;
	core->index_stale = core->index_stale || extent->changed || extent->visits == 1;
	extent_visited(core, extent);
	return 0;
}

static int target_visit(struct round *round, struct target *target)
{
	const struct extent_map *map = &target->guest.map;
	const uint64_t now = clock_monotonic_ns();

	for (size_t e = 0; e < map->count && !round->interrupted; e++) {
		int error;

		if (map->extents[e].due_ns > now)
			continue;
		error = extent_visit(round, target, &map->extents[e]);
		if (error)
			return error;
		round->interrupted = throttle_pace(&round->throttle, round->core->interrupt);
	}
	return 0;
}

static void target_refused(struct core *core, struct target *target, int error)
{
	target->mapped = false;
	core->index_stale = true;
	if (error != -ESRCH) /* a VM that ends in the middle of a scan is normal */
		text_set(&target->trouble, "its memory cannot be read: %s", strerror(-error));
}

int visit_due(struct core *core)
{
	const uint64_t limit = memory_limit_bytes(core), used = prints_bytes(core);
	const uint64_t started_ns = clock_monotonic_ns();
	struct round round = {
		.core = core,
		.room_bytes = limit > used ? limit - used : 0,
	};

	throttle_start(&round.throttle, core->config.cpu_percent);
	core->pass_pages = 0;
	for (size_t t = 0; t < core->registry.count && !round.interrupted; t++) {
		struct target *target = core->registry.targets[t];
		int error;

		if (!target->mapped || target->policy.mode == MODE_OFF || target->inherited)
			continue;
		error = target_visit(&round, target);
		if (error == -ENOMEM)
			return error;
		if (error)
			target_refused(core, target, error);
	}
	core->pass_scan_ns = clock_monotonic_ns() - started_ns;
	if (round.unread)
		sentences_add(&core->warnings,
			"memory-max is reached: %llu MiB of guest RAM are not read; raise memory-max "
			"(6.4 bytes for each 4 KiB page)", (unsigned long long)round.unread * 2);
	return 0;
}

void visit_schedule(struct core *core, const struct plan *plan)
{
	const uint64_t due_ns =
		clock_monotonic_ns() + core->config.settle_seconds * NS_PER_S;

	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_entry *entry = &plan->entries[i];
		struct extent *extent;

		if (entry->action != PLAN_REVISIT)
			continue;
		extent = &core->registry.targets[entry->vm]->guest.map.extents[entry->extent];
		/* One that keeps changing keeps to the ordinary interval. Appointed once: passes that
		 * follow each other faster than it settles would put it off for ever. */
		if (extent->visits < 2 && !extent->settling)
			extent->due_ns = due_ns;
		extent->settling = true;
	}
}

uint64_t visit_awaited_ns(const struct core *core)
{
	uint64_t next_ns = UINT64_MAX;

	for (size_t i = 0; i < core->plan.count; i++) {
		const struct plan_entry *entry = &core->plan.entries[i];
		const struct target *target;
		const struct extent *extent;

		if (entry->action != PLAN_REVISIT)
			continue;
		/* By pid and address: a pass that was interrupted leaves the plan of the one before, whose
		 * indices nobody has kept up with. */
		target = registry_find(&core->registry, entry->pid);
		extent = target ? extent_map_find(&target->guest.map, entry->start) : NULL;
		if (extent && extent->visits < 2 && extent->due_ns < next_ns)
			next_ns = extent->due_ns;
	}
	return next_ns;
}
