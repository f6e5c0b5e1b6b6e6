// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/snapshot.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const state_names[] = {
	[VM_OBSERVED] = "observed",
	[VM_WAITING] = "waiting",
	[VM_FOLDING] = "folding",
	[VM_FOLDED] = "folded",
	[VM_RELEASED] = "released",
	[VM_BLOCKED] = "blocked",
	[VM_INELIGIBLE] = "ineligible",
	[VM_OFF] = "off",
};

const char *vm_state_name(enum vm_state state)
{
	return state_names[state];
}

struct snapshot *snapshot_new(void)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));

	if (!snapshot)
		return NULL;
	snapshot->references = 1;
	snapshot->ksm_driver = "none";
	snapshot->memory_bytes = snapshot->available_bytes = NOT_MEASURED;
	snapshot->swap_free_bytes = NOT_MEASURED;
	snapshot->reclaimed_bytes = snapshot->reclaimed_zero_bytes = NOT_MEASURED;
	snapshot->net_bytes = snapshot->potential_bytes = NOT_MEASURED;
	snapshot->exposure_bytes = snapshot->metadata_bytes = NOT_MEASURED;
	snapshot->reclaimed_self_bytes = snapshot->reclaimed_cross_bytes = NOT_MEASURED;
	snapshot->predicted_bytes = snapshot->delivered_bytes = NOT_MEASURED;
	snapshot->scan_cpu_seconds = snapshot->ksmd_cpu_seconds = SECONDS_NOT_MEASURED;
	snapshot->ring_cpu_seconds = snapshot->helper_cpu_seconds = SECONDS_NOT_MEASURED;
	snapshot->vms_cpu_seconds = snapshot->ended_cpu_seconds = SECONDS_NOT_MEASURED;
	snapshot->own_cpu_seconds = SECONDS_NOT_MEASURED;
	verdict_init(&snapshot->verdict);
	snapshot->cow_breaks = snapshot->hugepages_lost = NOT_MEASURED;
	snapshot->cow_break_ns_p50 = snapshot->cow_break_ns_p99 = NOT_MEASURED;
	snapshot->stall_seconds_estimate = snapshot->stall_longest_seconds = SECONDS_NOT_MEASURED;
	snapshot->pages_scanned = snapshot->bytes_per_second = NOT_MEASURED;
	snapshot->pass_seconds = SECONDS_NOT_MEASURED;
	snapshot->allocator = (struct allocator_stats){ NOT_MEASURED, NOT_MEASURED, NOT_MEASURED,
		NOT_MEASURED, NOT_MEASURED, NOT_MEASURED };
	return snapshot;
}

void snapshot_vm_init(struct snapshot_vm *vm)
{
	*vm = (struct snapshot_vm){ .mode = MODE_OBSERVE, .group = "default", .hook = "none" };
	vm->hugepages = HUGEPAGES_BALANCE;
	vm->ram_bytes = vm->resident_bytes = NOT_MEASURED;
	vm->pages_scanned = vm->zero_pages = vm->duplicate_pages = NOT_MEASURED;
	vm->potential_bytes = vm->reclaimed_bytes = vm->reclaimed_zero_bytes = NOT_MEASURED;
	vm->reclaimed_self_bytes = vm->reclaimed_cross_bytes = NOT_MEASURED;
	vm->predicted_bytes = vm->delivered_bytes = NOT_MEASURED;
	vm->exposure_bytes = vm->cow_breaks_estimate = vm->hugepages_lost = NOT_MEASURED;
	vm->stall_seconds_estimate = vm->stall_longest_seconds = vm->cpu_seconds =
		SECONDS_NOT_MEASURED;
	verdict_init(&vm->verdict);
}

struct policy_subject snapshot_subject(
	const struct snapshot *snapshot, const struct snapshot_vm *vm)
{
	struct policy_subject subject = {
		.is_vm = vm->is_vm,
		.pid = vm->pid,
		.started_ticks = vm->started_ticks,
		.boot_id = *snapshot->boot_id ? snapshot->boot_id : NULL,
		.name = vm->name,
		.uuid = vm->uuid,
	};

	for (size_t i = 0; i < snapshot->vm_count; i++) {
		const struct snapshot_vm *other = &snapshot->vms[i];

		if (other->pid == vm->pid)
			continue;
		if (subject.name && other->name && strcmp(subject.name, other->name) == 0)
			subject.name = NULL;
		if (subject.uuid && other->uuid && strcasecmp(subject.uuid, other->uuid) == 0)
			subject.uuid = NULL;
	}
	return subject;
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
	(void)__atomic_add_fetch(&snapshot->references, 1, __ATOMIC_RELAXED);
	return snapshot;
}

static void free_strings(char **strings)
{
	for (char **string = strings; string && *string; string++)
		free(*string);
	free(strings);
}

static void free_vm(struct snapshot_vm *vm)
{
	free(vm->name);
	free(vm->uuid);
	free(vm->reason);
	free(vm->verdict_reason);
	free(vm->policy_source);
	free(vm->extents);
}

struct snapshot *snapshot_unref(struct snapshot *snapshot)
{
	/* Whoever drops the last reference sees all that the others did with theirs. */
	if (!snapshot || __atomic_sub_fetch(&snapshot->references, 1, __ATOMIC_ACQ_REL) > 0)
		return NULL;
	for (size_t i = 0; i < snapshot->vm_count; i++)
		free_vm(&snapshot->vms[i]);
	free(snapshot->vms);
	free(snapshot->kernel);
	free(snapshot->verdict_reason);
	free(snapshot->active_group);
	free_strings(snapshot->features);
	free_strings(snapshot->blocked_by);
	free_strings(snapshot->warnings);
	plan_done(&snapshot->plan);
	free(snapshot);
	return NULL;
}
