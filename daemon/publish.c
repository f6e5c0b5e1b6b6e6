// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/publish.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "common/clock.h"
#include "daemon/account.h"
#include "daemon/arrival.h"
#include "daemon/means.h"
#include "daemon/plan.h"
#include "hypervisor-glue/host_memory.h"

static double seconds(uint64_t ns)
{
	return (double)ns / (double)NS_PER_S;
}

/* ---- the state of a VM, in a word and a sentence ---- */

static uint64_t planned_extents(const struct core *core, const struct target *target)
{
	uint64_t count = 0;

	for (size_t i = 0; i < core->plan.count; i++)
		count += core->plan.entries[i].pid == target_pid(target) &&
			core->plan.entries[i].action != PLAN_RELEASE;
	return count;
}

static void state_set(struct target *target, enum vm_state state, const char *reason)
{
	target->state = state;
	free(target->reason);
	target->reason = reason ? strdup(reason) : NULL;
}

static void state_out_of_vmas(struct target *target, bool folded)
{
	state_set(target, folded ? VM_FOLDED : VM_BLOCKED, NULL);
	text_set(&target->reason,
		"it has %zu mappings, and each mark takes more; the last quarter of vm.max_map_count is "
		"left to the process itself, so nothing more is marked: raise vm.max_map_count",
		target->guest.smaps.count);
}

/* Asked to fold, in the active group, nothing wrong with the VM itself. */
static void state_of_folding(const struct core *core, struct target *target)
{
	const bool folded = target->marked_extents > 0;

	if (core->bursting && target_has_marks(target))
		state_set(target, VM_FOLDING, "ksmd is at work");
	else if (core->paused)
		state_set(target, folded ? VM_FOLDED : VM_WAITING,
			"paused by the operator; pagefold resume ends that");
	else if (core->blocked_by.count)
		state_set(target, folded ? VM_FOLDED : VM_BLOCKED, core->blocked_by.texts[0]);
	else if (target->vma_room < PLAN_VMAS_PER_EXTENT)
		state_out_of_vmas(target, folded);
	else if (folded)
		state_set(target, VM_FOLDED, NULL);
	else if (planned_extents(core, target))
		state_set(target, VM_WAITING,
			"promising memory is read a second time before it is marked");
	else if (!core->pass_number)
		state_set(target, VM_WAITING, "its memory is being read for the first time");
	else
		state_set(target, VM_WAITING, "it holds nothing yet that would be worth folding");
}

static void state_of_wanted(const struct core *core, struct target *target)
{
	if (target->hook_reason[0] && !target->hook) {
		state_set(target, target->marked_extents ? VM_FOLDED : VM_BLOCKED,
			target->hook_reason);
	} else if (core->active_group[0] && strcmp(target->policy.group, core->active_group)) {
		state_set(target, VM_WAITING, NULL);
		text_set(&target->reason, "its group %s is not the active one (%s)",
			target->policy.group, core->active_group);
	} else {
		state_of_folding(core, target);
	}
}

static void state_of_observed(struct target *target)
{
	if (!target->marked_extents)
		state_set(target, VM_OBSERVED, NULL);
	else if (target->policy.mode == MODE_OFF)
		state_set(target, VM_FOLDED, "mode = off: what is folded is being released");
	else
		state_set(target, VM_FOLDED,
			"mode = observe: what is folded stays, nothing new is folded");
}

/* Nothing of it can be merged, for now at least. */
static bool is_out_of_reach(const struct extent_map *map)
{
	for (size_t i = 0; i < map->count; i++)
		if (!map->extents[i].watched)
			return false;
	return true;
}

static void target_judge(const struct core *core, struct target *target)
{
	const char *arrival = arrival_text(target);

	if (target->policy.mode == MODE_OFF && !target->marked_extents)
		state_set(target, VM_OFF, NULL);
	else if (target->held)
		state_set(target, VM_RELEASED,
			"released by the operator; pagefold set or a change of its policy ends that");
	else if (arrival)
		state_set(target, target->policy.mode == MODE_MERGE ? VM_WAITING : VM_OBSERVED, arrival);
	else if (target->mapped && target->guest.ram_bytes && !target->marked_extents &&
		is_out_of_reach(&target->guest.map))
		state_set(target, VM_INELIGIBLE, NULL);
	else if (target->policy.mode == MODE_MERGE)
		state_of_wanted(core, target);
	else
		state_of_observed(target);
	if (target->state == VM_INELIGIBLE || (target->mapped && !target->reason)) {
		free(target->reason);
		target->reason = guest_ineligible_text(&target->guest);
	}
	if (target->policy_unknown)
		text_set(&target->reason,
			"libvirt does not answer, so nothing new is done with its domains");
	if (target->nosharepages)
		text_set(&target->reason, "its domain XML forbids sharing (<nosharepages/>)");
	if (target->policy_error)
		text_set(&target->reason, "%s", target->policy_error);
	if (target->hook && target->hook_note[0] && !target->reason)
		text_set(&target->reason, "%s", target->hook_note);
	if (target->trouble)
		text_set(&target->reason, "%s", target->trouble);
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
		};
	}
	return 0;
}

static int vm_fill(const struct core *core, struct target *target, struct snapshot_vm *vm)
{
	target_judge(core, target);
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

static char **sentences_copy(const struct sentences *sentences)
{
	char **copy = calloc(sentences->count + 1, sizeof(char *));

	for (size_t i = 0, n = 0; copy && i < sentences->count; i++) {
		copy[n] = strdup(sentences->texts[i]);
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
	copy = sentences_copy(&names);
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
	}
	if (uname(&kernel) == 0)
		snapshot->kernel = strdup(kernel.release);
	memcpy(snapshot->boot_id, core->recorded.boot_id, sizeof(snapshot->boot_id));
	snapshot->features = features_copy(&core->features);
	if (core->active_group[0])
		snapshot->active_group = strdup(core->active_group);
	snapshot->paused = core->paused;
	snapshot->ksm_driver = driver_name(&core->driver);
	snapshot->blocked_by = sentences_copy(&core->blocked_by);
	snapshot->warnings = sentences_copy(&core->warnings);
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

static void cost_fill(const struct core *core, struct snapshot *snapshot)
{
	uint64_t ring_ns, helper_ns;

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
	if (vms_fill(core, snapshot) < 0 || plan_copy(&core->plan, &snapshot->plan) < 0)
		return snapshot_unref(snapshot);
	host_fill(core, snapshot);
	savings_fill(core, snapshot);
	cost_fill(core, snapshot);
	pass_fill(core, snapshot);
	allocator_read(&snapshot->allocator);
	return snapshot;
}
