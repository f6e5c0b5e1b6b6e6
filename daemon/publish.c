// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/publish.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "common/clock.h"
#include "daemon/account.h"
#include "daemon/means.h"
#include "daemon/plan.h"
#include "daemon/vm_state.h"
#include "hypervisor-glue/host_memory.h"

static double seconds(uint64_t ns)
{
	return (double)ns / (double)NS_PER_S;
}

/* ---- the snapshot of a VM ---- */

/* KSM pages are still read as duplicates, zero folds are not read any more. */
static int64_t potential_bytes(const struct target *target)
{
	const int64_t folded = target->reclaimed_bytes - target->reclaimed_zero_bytes;
	const int64_t potential = (int64_t)target->saveable_bytes - folded;

	return potential > 0 ? potential : 0;
}

static void vm_fill_numbers(const struct target *target, struct snapshot_vm *vm)
{
	if (!target->mapped)
		return;
	vm->ram_bytes = (int64_t)target->guest.ram_bytes;
	vm->resident_bytes = (int64_t)target->guest.rss_bytes;
	vm->reclaimed_bytes = target->reclaimed_bytes;
	vm->reclaimed_zero_bytes = target->reclaimed_zero_bytes;
	vm->reclaimed_self_bytes = target->reclaimed_self_bytes;
	if (target->reclaimed_self_bytes != NOT_MEASURED)
		vm->reclaimed_cross_bytes = target->reclaimed_bytes -
			target->reclaimed_zero_bytes - target->reclaimed_self_bytes;
	vm->exposure_bytes = target->exposure_bytes;
	if (target->forecast.judged) {
		vm->predicted_bytes = target->forecast.predicted_bytes;
		vm->delivered_bytes = target->forecast.delivered_bytes;
	}
	vm->cow_breaks_estimate = (int64_t)fold_cost_breaks(&target->cost);
	(void)fold_cost_stall_seconds(&target->cost, &vm->stall_seconds_estimate);
	vm->stall_longest_seconds = (double)target->cost.longest_ns / (double)NS_PER_S;
	vm->hugepages_lost = (int64_t)target_huge_lost(target);
	if (!target->sums.pages)
		return;
	vm->pages_scanned = (int64_t)target->sums.pages;
	vm->zero_pages = (int64_t)target->sums.zero_pages;
	vm->duplicate_pages = (int64_t)target->sums.duplicate_pages;
	vm->potential_bytes = potential_bytes(target);
}

static int vm_fill_extents(const struct target *target, struct snapshot_vm *vm)
{
	const struct extent_map *map = &target->guest.map;

	vm->extents = calloc(map->count + 1, sizeof(*vm->extents));
	if (!vm->extents)
		return -1;
	for (size_t i = 0; i < map->count; i++) {
		const struct extent *extent = &map->extents[i];

		if (!extent->prints && !extent->marked)
			continue; /* never read, or nothing there */
		vm->extents[vm->extent_count++] = (struct snapshot_extent){
			.start = extent->start,
			.length = extent->end - extent->start,
			.pages_read = extent->pages_read,
			.zeros = extent->zeros,
			.twins = extent->twins,
			.huge = extent->huge,
			.folded = extent->marked,
			.breaks = extent->breaks,
		};
	}
	return 0;
}

static int vm_fill(const struct core *core, struct target *target, struct snapshot_vm *vm)
{
	vm_state_judge(core, target);
	vm->pid = target_pid(target);
	vm->started_ticks = target->guest.process.id.start_ticks;
	vm->is_vm = target->guest.is_vm;
	vm->mode = target->policy.mode;
	vm->hugepages = target->policy.hugepages;
	vm->policy_hook = target->policy.hook;
	memcpy(vm->group, target->policy.group, sizeof(vm->group));
	vm->hook = means_name(core, target);
	vm->state = target->state;
	vm->name = strdup(target_name(target));
	if (target->guest.vmm.cmdline.uuid[0])
		vm->uuid = strdup(target->guest.vmm.cmdline.uuid);
	if (target->reason)
		vm->reason = strdup(target->reason);
	vm->cpu_seconds = seconds(ledger_of(target));
	if (target->policy_source)
		vm->policy_source = strdup(target->policy_source);
	vm_fill_numbers(target, vm);
	return vm->name ? vm_fill_extents(target, vm) : -1;
}

/* ---- the snapshot of the host ---- */

/* more: NULL, or what is said after them. */
static char **sentences_copy(const struct sentences *sentences, const struct sentences *more)
{
	const size_t count = sentences->count + (more ? more->count : 0);
	char **copy = calloc(count + 1, sizeof(char *));

	for (size_t i = 0, n = 0; copy && i < count; i++) {
		copy[n] = strdup(i < sentences->count ? sentences->texts[i]
						      : more->texts[i - sentences->count]);
		n += copy[n] != NULL;
	}
	return copy;
}

static char **features_copy(const struct features *features)
{
	struct sentences names = { 0 };
	char **copy;

	for (int i = 0; i < FEATURE_COUNT; i++)
		if (features->have[i])
			sentences_add(&names, "%s", feature_name((enum feature)i));
	copy = sentences_copy(&names, NULL);
	sentences_clear(&names);
	return copy;
}

static void host_fill(const struct core *core, struct snapshot *snapshot)
{
	struct host_memory memory;
	struct utsname kernel;

	if (host_memory_read(&core->root, &memory) == 0) {
		snapshot->memory_bytes = (int64_t)memory.total_bytes;
		snapshot->available_bytes = (int64_t)memory.available_bytes;
		snapshot->swap_free_bytes = (int64_t)memory.swap_free_bytes;
	}
	if (uname(&kernel) == 0)
		snapshot->kernel = strdup(kernel.release);
	memcpy(snapshot->boot_id, core->recorded.boot_id, sizeof(snapshot->boot_id));
	snapshot->features = features_copy(&core->features);
	if (core->active_group[0])
		snapshot->active_group = strdup(core->active_group);
	snapshot->paused = core->paused;
	snapshot->ksm_driver = driver_name(&core->driver);
	snapshot->blocked_by = sentences_copy(&core->blocked_by, NULL);
	snapshot->warnings = sentences_copy(&core->warnings, &core->findings);
}

static int64_t sum_measured(int64_t sum, int64_t value)
{
	return value == NOT_MEASURED ? sum : (sum == NOT_MEASURED ? 0 : sum) + value;
}

/* One VM of which it is not known, and it is not known of all. */
static void twins_fill(struct snapshot *snapshot)
{
	int64_t self = NOT_MEASURED;

	for (size_t i = 0; i < snapshot->vm_count; i++) {
		const struct snapshot_vm *vm = &snapshot->vms[i];

		if (vm->reclaimed_bytes != NOT_MEASURED && vm->reclaimed_self_bytes == NOT_MEASURED)
			return;
		self = sum_measured(self, vm->reclaimed_self_bytes);
	}
	if (self == NOT_MEASURED)
		return;
	snapshot->reclaimed_self_bytes = self;
	snapshot->reclaimed_cross_bytes =
		snapshot->reclaimed_bytes - snapshot->reclaimed_zero_bytes - self;
}

static void savings_fill(const struct core *core, struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->vm_count; i++) {
		const struct snapshot_vm *vm = &snapshot->vms[i];

		snapshot->reclaimed_bytes =
			sum_measured(snapshot->reclaimed_bytes, vm->reclaimed_bytes);
		snapshot->reclaimed_zero_bytes =
			sum_measured(snapshot->reclaimed_zero_bytes, vm->reclaimed_zero_bytes);
		snapshot->potential_bytes =
			sum_measured(snapshot->potential_bytes, vm->potential_bytes);
		snapshot->exposure_bytes =
			sum_measured(snapshot->exposure_bytes, vm->exposure_bytes);
	}
	twins_fill(snapshot);
	if (core->forecast.judged) {
		snapshot->predicted_bytes = core->forecast.predicted_bytes;
		snapshot->delivered_bytes = core->forecast.delivered_bytes;
	}
	snapshot->metadata_bytes = account_metadata_bytes(core);
	if (snapshot->reclaimed_bytes != NOT_MEASURED && snapshot->metadata_bytes != NOT_MEASURED)
		snapshot->net_bytes = snapshot->reclaimed_bytes - snapshot->metadata_bytes;
}

/* The same time, by who it was for. */
static void payers_fill(const struct core *core, struct snapshot *snapshot)
{
	const double all = snapshot->scan_cpu_seconds + snapshot->ksmd_cpu_seconds +
		snapshot->ring_cpu_seconds + snapshot->helper_cpu_seconds;
	double charged = 0;

	for (size_t i = 0; i < snapshot->vm_count; i++)
		charged += snapshot->vms[i].cpu_seconds;
	snapshot->vms_cpu_seconds = charged;
	snapshot->ended_cpu_seconds = seconds(core->registry.ended_cpu_ns);
	charged += snapshot->ended_cpu_seconds;
	snapshot->own_cpu_seconds = all > charged ? all - charged : 0;
}

/* Of everybody, those who are gone included. */
static void breaks_fill(const struct core *core, struct snapshot *snapshot)
{
	struct fold_cost sum = core->registry.retired_cost;
	uint64_t p50, p99;

	for (size_t i = 0; i < core->registry.count; i++)
		fold_cost_add(&sum, &core->registry.targets[i]->cost);
	for (size_t i = 0; i < snapshot->vm_count; i++)
		snapshot->hugepages_lost =
			sum_measured(snapshot->hugepages_lost, snapshot->vms[i].hugepages_lost);
	if (canary_percentile_ns(&core->canary, 50, &p50) &&
		canary_percentile_ns(&core->canary, 99, &p99)) {
		snapshot->cow_break_ns_p50 = (int64_t)p50;
		snapshot->cow_break_ns_p99 = (int64_t)p99;
	}
	if (!core->pass_number)
		return;
	snapshot->cow_breaks = (int64_t)fold_cost_breaks(&sum);
	(void)fold_cost_stall_seconds(&sum, &snapshot->stall_seconds_estimate);
	snapshot->stall_longest_seconds = (double)sum.longest_ns / (double)NS_PER_S;
}

static void cost_fill(const struct core *core, struct snapshot *snapshot)
{
	uint64_t ring_ns, helper_ns;

	breaks_fill(core, snapshot);
	registry_hook_cpu(&core->registry, &ring_ns, &helper_ns);
	snapshot->since = core->since;
	snapshot->scan_cpu_seconds = seconds(clock_process_cpu_ns());
	snapshot->ksmd_cpu_seconds = seconds(core->driver.ksmd_cpu_ns);
	snapshot->ring_cpu_seconds = seconds(ring_ns);
	snapshot->helper_cpu_seconds = seconds(helper_ns);
	payers_fill(core, snapshot);
}

static void pass_fill(const struct core *core, struct snapshot *snapshot)
{
	snapshot->pass_number = core->pass_number;
	if (!core->pass_number)
		return;
	(void)clock_gettime(CLOCK_REALTIME, &snapshot->finished_at);
	snapshot->pages_scanned = (int64_t)core->pass_pages;
	snapshot->pass_seconds = seconds(core->pass_ns);
	if (core->pass_scan_ns)
		snapshot->bytes_per_second = (int64_t)((double)(core->pass_pages * PAGE_BYTES) /
			seconds(core->pass_scan_ns));
}

/* What broke since the last snapshot is priced by what the canary's breaks take now. */
static void breaks_price(struct core *core)
{
	uint64_t break_ns;

	if (!canary_percentile_ns(&core->canary, 50, &break_ns))
		return;
	fold_cost_price(&core->registry.retired_cost, break_ns);
	for (size_t i = 0; i < core->registry.count; i++)
		fold_cost_price(&core->registry.targets[i]->cost, break_ns);
}

static int vms_fill(struct core *core, struct snapshot *snapshot)
{
	struct snapshot_vm blank;

	snapshot->vms = calloc(core->registry.count + 1, sizeof(*snapshot->vms));
	if (!snapshot->vms)
		return -1;
	snapshot_vm_init(&blank);
	for (size_t i = 0; i < core->registry.count; i++) {
		snapshot->vms[i] = blank;
		snapshot->vm_count++;
		if (vm_fill(core, core->registry.targets[i], &snapshot->vms[i]) < 0)
			return -1;
	}
	return 0;
}

struct snapshot *publish_snapshot(struct core *core)
{
	struct snapshot *snapshot = snapshot_new();

	if (!snapshot)
		return NULL;
	breaks_price(core);
	if (vms_fill(core, snapshot) < 0 || plan_copy(&core->plan, &snapshot->plan) < 0)
		return snapshot_unref(snapshot);
	host_fill(core, snapshot);
	savings_fill(core, snapshot);
	cost_fill(core, snapshot);
	pass_fill(core, snapshot);
	allocator_read(&snapshot->allocator);
	judge_fill(core, snapshot, clock_monotonic_ns());
	return snapshot;
}
