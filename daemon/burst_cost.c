// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/burst_cost.h"

#include <stdlib.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "daemon/account.h"
#include "hypervisor-glue/ksm.h"
#include "hypervisor-glue/vmstat.h"

/* A look in the middle of a burst may take such a share of what ksmd took since the last one. */
#define LOOK_COST_DIVISOR 20

/* What was looked at for the books a moment ago needs no look before a burst: what broke in between
 * counts as broken in it. */
#define LOOK_HOLDS_NS (250 * NS_PER_MS)

/* At all that is marked, but for those whose books were filled after that. */
static void look(struct burst_cost *cost, uint64_t ksmd_cpu_ns, uint64_t booked_ns)
{
	const uint64_t before_ns = clock_thread_cpu_ns();
	const struct registry *registry = &cost->core->registry;

	for (size_t i = 0; i < registry->count; i++)
		if (registry->targets[i]->mapped && registry->targets[i]->booked_ns < booked_ns)
			account_look(registry->targets[i]);
	if (booked_ns == UINT64_MAX)
		cost->core->look_cost_ns = clock_thread_cpu_ns() - before_ns;
	cost->looked_cpu_ns = ksmd_cpu_ns;
}

static uint64_t faults_of(const struct core *core, const struct target *target)
{
	struct footprint footprint;

	return footprint_read(&core->root, target_pid(target), &footprint) == 0 ? footprint.faults
										: 0;
}

static uint64_t folded_pages(const struct target *target)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < target->guest.map.count; i++)
		if (target->guest.map.extents[i].marked)
			pages += target->guest.map.extents[i].folded;
	return pages;
}

static int64_t pages_scanned(const struct core *core)
{
	struct ksm_counters counters;

	return ksm_counters_read(&core->root, &counters) == 0 ? counters.pages_scanned
							      : KSM_KNOB_ABSENT;
}

void burst_cost_begin(struct core *core, uint64_t ksmd_cpu_ns, struct burst_cost *ret)
{
	*ret = (struct burst_cost){ .core = core, .started_ns = clock_monotonic_ns() };
	look(ret, ksmd_cpu_ns, ret->started_ns - LOOK_HOLDS_NS);
	ret->vms = calloc(core->registry.count + 1, sizeof(*ret->vms));
	for (size_t i = 0; ret->vms && i < core->registry.count; i++) {
		const struct target *target = core->registry.targets[i];

		ret->vms[ret->count++] = (struct burst_cost_vm){
			.pid = target_pid(target),
			.faults = faults_of(core, target),
			.ksm_broken = target->cost.broken.ksm,
			.folded_pages = folded_pages(target),
		};
	}
	ret->pages_scanned = pages_scanned(core);
	if (vmstat_cow_ksm_read(&core->root, &ret->cow_ksm) < 0)
		ret->cow_ksm = UINT64_MAX; /* nothing is hidden, as far as anybody knows */
}

void burst_cost_scan(struct burst_cost *cost, uint64_t ksmd_cpu_ns)
{
	if (ksmd_cpu_ns - cost->looked_cpu_ns >= cost->core->look_cost_ns * LOOK_COST_DIVISOR)
		look(cost, ksmd_cpu_ns, UINT64_MAX);
}

/* By what was seen of each; where nothing was, by what each has folded. */
static void hidden_share(
	struct burst_cost *cost, uint64_t hidden, const uint64_t *seen, uint64_t all_seen)
{
	_cleanup_free_ uint64_t *weights = calloc(cost->count + 1, sizeof(*weights));

	if (!weights)
		return;
	for (size_t i = 0; i < cost->count; i++)
		weights[i] = all_seen ? seen[i] : cost->vms[i].folded_pages;
	ledger_divide(hidden, weights, cost->count, weights);
	for (size_t i = 0; i < cost->count; i++) {
		struct target *target = registry_find(&cost->core->registry, cost->vms[i].pid);

		if (target)
			target->cost.hidden += weights[i];
	}
}

static void hidden_estimate(struct burst_cost *cost)
{
	_cleanup_free_ uint64_t *seen = calloc(cost->count + 1, sizeof(*seen));
	uint64_t all_seen = 0, copied;

	if (!seen || vmstat_cow_ksm_read(&cost->core->root, &copied) < 0 || copied < cost->cow_ksm)
		return;
	look(cost, 0, UINT64_MAX);
	copied -= cost->cow_ksm;
	for (size_t i = 0; i < cost->count; i++) {
		const struct target *target =
			registry_find(&cost->core->registry, cost->vms[i].pid);

		seen[i] = target ? target->cost.broken.ksm - cost->vms[i].ksm_broken : 0;
		all_seen += seen[i];
	}
	if (copied > all_seen)
		hidden_share(cost, copied - all_seen, seen, all_seen);
}

static uint64_t marked_extents(const struct core *core)
{
	uint64_t extents = 0;

	for (size_t i = 0; i < core->registry.count; i++)
		extents += target_marks(core->registry.targets[i]);
	return extents;
}

static void delays_estimate(struct burst_cost *cost, uint64_t burst_cpu_ns)
{
	const struct core *core = cost->core;
	const int64_t pages = pages_scanned(core) - cost->pages_scanned;
	const uint64_t burst_ns = clock_monotonic_ns() - cost->started_ns;
	const double marked = (double)marked_extents(core);

	if (cost->pages_scanned == KSM_KNOB_ABSENT || pages <= 0 || !burst_ns || marked <= 0)
		return;
	for (size_t i = 0; i < cost->count; i++) {
		struct target *target = registry_find(&core->registry, cost->vms[i].pid);
		const uint64_t faults = target ? faults_of(core, target) : 0;

		if (faults <= cost->vms[i].faults)
			continue; /* gone, or none */
		target->cost.delay_ns += fold_cost_burst_ns(faults - cost->vms[i].faults,
			(double)burst_cpu_ns / (double)burst_ns * (double)target_marks(target) /
				marked,
			(double)burst_cpu_ns / (double)pages);
	}
}

void burst_cost_end(struct burst_cost *cost, uint64_t burst_cpu_ns)
{
	hidden_estimate(cost);
	delays_estimate(cost, burst_cpu_ns);
	free(cost->vms);
	*cost = (struct burst_cost){ 0 };
}
