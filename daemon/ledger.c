// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/ledger.h"

#include <stdlib.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "daemon/core.h"

/*
 * What a page costs ksmd, measured: the first looks at a new mark are 0.5-1 us each, a look at what
 * is folded already 0.4 us, and a merge 8 us. Only the proportions matter.
 */
#define NEW_LOOK_NS    1000
#define FOLDED_LOOK_NS 400
#define MERGE_NS       8000

/* ---- dividing ---- */

void ledger_divide(uint64_t ns, const uint64_t *weights, size_t count, uint64_t *ret_shares)
{
	long double total = 0, passed = 0;
	uint64_t given = 0;

	for (size_t i = 0; i < count; i++)
		total += (long double)weights[i];
	/* Up to each of them together they get what is due to them together: nothing is lost by
	 * rounding. */
	for (size_t i = 0; i < count; i++) {
		uint64_t due = 0;

		passed += (long double)weights[i];
		if (total > 0)
			due = passed < total ? (uint64_t)((long double)ns * (passed / total)) : ns;
		ret_shares[i] = due > given ? due - given : 0;
		given += ret_shares[i];
	}
}

/* Resident pages of those that are read. */
static uint64_t resident_weight(const struct target *target)
{
	return target->mapped && target->policy.mode != MODE_OFF
		       ? target->guest.rss_bytes / PAGE_BYTES
		       : 0;
}

/* ---- the pass thread ---- */

struct ledger_stretch ledger_begin(const struct core *core)
{
	return (struct ledger_stretch){ clock_thread_cpu_ns(), core->charged_here_ns };
}

static uint64_t stretch_ns(const struct core *core, const struct ledger_stretch *stretch)
{
	const uint64_t took_ns = clock_thread_cpu_ns() - stretch->begun_ns;
	const uint64_t charged_ns = core->charged_here_ns - stretch->charged_ns;

	return took_ns > charged_ns ? took_ns - charged_ns : 0;
}

void ledger_end_for(struct core *core, struct ledger_stretch stretch, struct target *target)
{
	const uint64_t ns = stretch_ns(core, &stretch);

	target->ledger.daemon_ns += ns;
	core->charged_here_ns += ns;
}

void ledger_end_for_all(struct core *core, struct ledger_stretch stretch)
{
	const size_t count = core->registry.count;
	_cleanup_free_ uint64_t *shares = calloc(count + 1, sizeof(*shares));
	const uint64_t ns = stretch_ns(core, &stretch);

	for (size_t i = 0; shares && i < count; i++)
		shares[i] = resident_weight(core->registry.targets[i]);
	if (shares)
		ledger_divide(ns, shares, count, shares);
	for (size_t i = 0; shares && i < count; i++)
		core->registry.targets[i]->ledger.daemon_ns += shares[i];
	core->charged_here_ns += ns;
}

/* ---- the scanning threads ---- */

void ledger_visit(struct target *target, uint64_t cpu_ns)
{
	target->ledger.daemon_ns += cpu_ns;
}

void ledger_visits_here(struct core *core, uint64_t cpu_ns)
{
	core->charged_here_ns += cpu_ns;
}

/* ---- ksmd ---- */

void ledger_burst_begins(struct core *core)
{
	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];

		target->ledger.burst_from_bytes = target->burst_pss_bytes;
	}
}

/* Marks of a VM that is only observed by now are gone over, too. */
static uint64_t burst_weight(const struct core *core, const struct target *target, uint64_t scans)
{
	const uint64_t from = target->ledger.burst_from_bytes, to = target->burst_pss_bytes;
	uint64_t new_pages = 0, folded_pages = 0, merged_pages = 0;

	for (size_t e = 0; e < target->guest.map.count; e++) {
		const struct extent *extent = &target->guest.map.extents[e];

		if (!extent->marked)
			continue;
		if (extent->fresh)
			new_pages += extent_pages(extent);
		else
			folded_pages += extent->folded;
	}
	if (target_wants_folds(target, core->active_group) && from > to)
		merged_pages = (from - to) / PAGE_BYTES;
	return (scans + 1) * (new_pages * NEW_LOOK_NS + folded_pages * FOLDED_LOOK_NS) +
	       merged_pages * MERGE_NS;
}

void ledger_burst_ended(struct core *core, uint64_t scans, uint64_t ksmd_ns)
{
	const size_t count = core->registry.count;
	_cleanup_free_ uint64_t *shares = calloc(count + 1, sizeof(*shares));

	for (size_t i = 0; shares && i < count; i++)
		shares[i] = burst_weight(core, core->registry.targets[i], scans);
	if (shares)
		ledger_divide(ksmd_ns, shares, count, shares);
	for (size_t i = 0; shares && i < count; i++)
		core->registry.targets[i]->ledger.ksmd_ns += shares[i];
}

/* ---- the sum ---- */

uint64_t ledger_of(const struct target *target)
{
	const struct ledger *ledger = &target->ledger;
	uint64_t ns = ledger->daemon_ns + ledger->ksmd_ns + ledger->hook_ns, ring_ns;

	if (!target->hook)
		return ns;
	if (target->hook->ops->cpu_ns(target->hook, &ring_ns) == 0)
		ns += ring_ns;
	return ns + target->hook->ops->helper_cpu_ns(target->hook);
}
