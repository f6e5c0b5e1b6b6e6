// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/vm_state.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/arrival.h"
#include "daemon/plan.h"
#include "daemon/room.h"

static bool is_planned(const struct core *core, const struct target *target, enum plan_action action)
{
	for (size_t i = 0; i < core->plan.count; i++)
		if (core->plan.entries[i].pid == target_pid(target) &&
			core->plan.entries[i].action == action)
			return true;
	return false;
}

static void state_set(struct target *target, enum vm_state state, const char *reason)
{
	target->state = state;
	free(target->reason);
	target->reason = reason ? strdup(reason) : NULL;
}

static void state_out_of_room(struct target *target, bool folded)
{
	state_set(target, folded ? VM_FOLDED : VM_BLOCKED, NULL);
	if (room_is_cgroups(target)) {
		text_set(&target->reason,
			"its memory cgroup has room for %llu KiB, and each mark takes some of the kernel's "
			"memory that is charged to it; the last MiB is left to the process itself, so nothing "
			"more is marked: raise the cgroup's limit",
			(unsigned long long)(target->cgroup_room_bytes >> 10));
		return;
	}
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
	else if (core->restraint.reason)
		state_set(target, folded ? VM_FOLDED : VM_WAITING, core->restraint.reason);
	else if (!target->planned_whole && target->vma_room < PLAN_VMAS_PER_EXTENT)
		state_out_of_room(target, folded);
	else if (folded)
		state_set(target, VM_FOLDED, NULL);
	else if (core->batched_since_ns && is_planned(core, target, PLAN_FOLD))
		state_set(target, VM_WAITING,
			"it is folded with more that is found meanwhile, or after ten times scan-interval (later if it "
			"is next to nothing): alone it is not worth a burst");
	else if (is_planned(core, target, PLAN_REVISIT) || is_planned(core, target, PLAN_FOLD))
		state_set(target, VM_WAITING,
			"promising memory is read a second time before it is marked");
	else if (is_planned(core, target, PLAN_WAIT))
		state_set(target, VM_WAITING,
			"what it has in common is with memory that is not to be marked yet");
	else if (!core->pass_number)
		state_set(target, VM_WAITING, "its memory is being read for the first time");
	else
		state_set(target, VM_WAITING, "it holds nothing yet that would be worth folding");
}

/* It cost more than it gave. */
static void state_of_resting(struct target *target)
{
	const bool folded = target->marked_extents > 0;

	state_set(target, folded ? VM_FOLDED : VM_WAITING, NULL);
	text_set(&target->reason,
		"folding it cost more than it gave, so it is %s; it is tried again in %llu minutes, or when "
		"its policy changes (with hugepages = fold it is never released for that)",
		folded ? "being released" : "left alone",
		(unsigned long long)judge_rest_minutes(&target->judgement, clock_monotonic_ns()));
}

static void state_of_wanted(const struct core *core, struct target *target)
{
	if (target->hook_reason[0] && !target->hook) {
		state_set(target, target->marked_extents ? VM_FOLDED : VM_BLOCKED,
			target->hook_reason);
	} else if (judgement_rests(&target->judgement)) {
		state_of_resting(target);
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

void vm_state_judge(const struct core *core, struct target *target)
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
