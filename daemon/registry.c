// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "daemon/heirs.h"

struct target *registry_find(const struct registry *registry, pid_t pid)
{
	for (size_t i = 0; i < registry->count; i++)
		if (target_pid(registry->targets[i]) == pid)
			return registry->targets[i];
	return NULL;
}

static void hook_cpu_add(const struct target *target, uint64_t *ring_ns, uint64_t *helper_ns)
{
	uint64_t ns;

	if (!target->hook)
		return;
	if (target->hook->ops->cpu_ns(target->hook, &ns) == 0)
		*ring_ns += ns;
	*helper_ns += target->hook->ops->helper_cpu_ns(target->hook);
}

int64_t registry_reclaimed_bytes(const struct registry *registry)
{
	int64_t bytes = 0;

	for (size_t i = 0; i < registry->count; i++)
		bytes += registry->targets[i]->reclaimed_bytes;
	return bytes;
}

void registry_hook_cpu(const struct registry *registry, uint64_t *ret_ring_ns, uint64_t *ret_helper_ns)
{
	*ret_ring_ns = registry->retired_ring_cpu_ns;
	*ret_helper_ns = registry->retired_helper_cpu_ns;
	for (size_t i = 0; i < registry->count; i++)
		hook_cpu_add(registry->targets[i], ret_ring_ns, ret_helper_ns);
}

void registry_hook_detach(struct registry *registry, struct target *target)
{
	uint64_t ring_ns = 0, helper_ns = 0;

	if (!target->hook)
		return;
	hook_cpu_add(target, &ring_ns, &helper_ns);
	registry->retired_ring_cpu_ns += ring_ns;
	registry->retired_helper_cpu_ns += helper_ns;
	target->ledger.hook_ns += ring_ns + helper_ns;
	target->hook->ops->detach(target->hook);
	target->hook = NULL;
}

int registry_insert(struct registry *registry, struct target *target)
{
	struct target **targets = reallocarray(
		registry->targets, registry->count + 1, sizeof(struct target *));
	size_t at = registry->count;

	if (!targets)
		return -ENOMEM;
	registry->targets = targets;
	while (at && target_pid(targets[at - 1]) > target_pid(target)) {
		targets[at] = targets[at - 1];
		at--;
	}
	targets[at] = target;
	registry->count++;
	return 0;
}

static void registry_drop(struct registry *registry, struct target *target)
{
	size_t at = 0;

	registry->lost_reads = registry->lost_reads || target_was_read(target);
	registry->lost_marks = registry->lost_marks || target_has_marks(target);
	while (registry->targets[at] != target)
		at++;
	registry->count--;
	memmove(&registry->targets[at], &registry->targets[at + 1],
		(registry->count - at) * sizeof(struct target *));
	registry_hook_detach(registry, target);
	registry->ended_cpu_ns += ledger_of(target);
	fold_cost_add(&registry->retired_cost, &target->cost);
	target_free(target);
}

/* One that cannot be found for the moment, but runs and has marks of ours, is not forgotten. */
static bool is_to_be_kept(const struct target *target)
{
	return process_alive(&target->guest.process) &&
		(target->present || target_has_marks(target));
}

static void registry_drop_absent(struct registry *registry)
{
	for (size_t i = registry->count; i-- > 0;)
		if (!is_to_be_kept(registry->targets[i]))
			registry_drop(registry, registry->targets[i]);
}

void registry_done(struct registry *registry)
{
	for (size_t i = 0; i < registry->count; i++)
		target_free(registry->targets[i]);
	free(registry->targets);
	process_table_done(&registry->processes);
	*registry = (struct registry){ 0 };
}

/* Opens a process that is new to us and takes over what an earlier daemon recorded of it. */
static int target_discover(struct registry *registry, const struct registry_sources *sources,
	pid_t pid, struct target **ret)
{
	const struct state_target *recorded;
	struct target *target;
	int error;

	error = target_new(sources->root, pid, sources->allow_pagemap_scan, &target);
	if (error)
		return error;
	recorded = state_find(sources->recorded, target->guest.process.id);
	if (recorded) {
		error = guest_map(sources->root, &target->guest);
		if (!error)
			error = target_adopt(target, recorded);
	}
	if (!error)
		error = registry_insert(registry, target);
	if (error) {
		target_free(target);
		return error;
	}
	/* From now on the target knows; adopted again later, its marks of then would come back. */
	if (recorded)
		state_forget(sources->recorded, target->guest.process.id);
	*ret = target;
	return 0;
}

/* Neither recycled nor, with another program, in another address space than the one we opened. */
static bool is_the_same(const struct target *target)
{
	return process_alive(&target->guest.process) &&
		pagemap_is_current(&target->guest.pagemap);
}

static int process_refresh(struct registry *registry, const struct registry_sources *sources,
	const struct process_entry *process)
{
	const pid_t pid = process->pid;
	_cleanup_(policy_texts_done) struct policy_texts texts;
	struct target *target = registry_find(registry, pid);
	bool named;
	int error;

	if (target && !is_the_same(target)) {
		registry_drop(registry, target);
		target = NULL;
	}
	policy_texts_read(&sources->policies, sources->root, process, &texts);
	if (!target) {
		if (!process->is_vmm && !texts.exe)
			return 0; /* a kernel thread, or gone */
		if (!process->is_vmm && !policy_choice_rule(&sources->policies, pid, &texts) &&
			!state_find_pid(sources->recorded, pid))
			return 0;
		error = target_discover(registry, sources, pid, &target);
		if (error)
			return error;
	}
	if (target->inherited)
		heirs_set_policy(sources->root, registry, target);
	named = policy_choose(&sources->policies, &texts, target);
	target->inherited = target->inherited && !named; /* from now on it is asked for itself */
	target->present = target->guest.is_vm || named || target_has_marks(target);
	return 0;
}

static int vms_refresh(
	struct registry *registry, const struct registry_sources *sources, char **trouble)
{
	for (size_t i = 0; i < registry->processes.count; i++) {
		const struct process_entry *process = &registry->processes.entries[i];
		int refused;

		if (!process->is_vmm)
			continue;
		refused = process_refresh(registry, sources, process);
		if (refused == -ENOMEM)
			return refused;
		if (refused && refused != -ESRCH)
			text_set(trouble, "the VM of %s (pid %d) cannot be looked at: %s", process->comm,
				(int)process->pid, strerror(-refused));
	}
	return 0;
}

/* Known, and not (yet) found: a rule may have gone while it has marks. */
static bool registry_misses_any(const struct registry *registry)
{
	for (size_t i = 0; i < registry->count; i++)
		if (!registry->targets[i]->present)
			return true;
	return false;
}

static int processes_refresh(
	struct registry *registry, const struct registry_sources *sources, char **trouble)
{
	if (!policy_set_wants_processes(sources->policies.files) && !sources->recorded->target_count &&
		!registry_misses_any(registry))
		return 0;
	for (size_t i = 0; i < registry->processes.count; i++) {
		const struct process_entry *process = &registry->processes.entries[i];
		const struct target *known = registry_find(registry, process->pid);
		int refused;

		if (process->is_vmm || process->pid == getpid() || (known && known->present))
			continue;
		refused = process_refresh(registry, sources, process);
		if (refused == -ENOMEM)
			return refused;
		if (refused && refused != -ESRCH)
			text_set(trouble, "process %d cannot be looked at: %s", (int)process->pid,
				strerror(-refused));
	}
	return 0;
}

int registry_refresh(
	struct registry *registry, const struct registry_sources *sources, char **ret_trouble)
{
	int error;

	*ret_trouble = NULL;
	for (size_t i = 0; i < registry->count; i++)
		registry->targets[i]->present = false;
	error = process_table_refresh(sources->root, clock_monotonic_ns(), &registry->processes);
	if (!error)
		error = vms_refresh(registry, sources, ret_trouble);
	if (!error)
		error = processes_refresh(registry, sources, ret_trouble);
	if (error) {
		/* Half a look is no reason to forget anybody. */
		for (size_t i = 0; i < registry->count; i++)
			registry->targets[i]->present = true;
		free(*ret_trouble);
		*ret_trouble = NULL;
		return error;
	}
	registry_drop_absent(registry);
	return 0;
}
