// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/foreign.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "daemon/heirs.h"
#include "hypervisor-glue/ksm.h"
#include "hypervisor-glue/smaps.h"

static bool smaps_has_mergeable(const struct host_root *root, pid_t pid)
{
	struct smaps_list smaps;
	bool mergeable = false;

	if (smaps_read(root, pid, &smaps) < 0)
		return false;
	for (size_t i = 0; !mergeable && i < smaps.count; i++)
		mergeable = smaps.vmas[i].flags & VMA_MERGEABLE;
	smaps_list_done(&smaps);
	return mergeable;
}

/* Before Linux 6.17 ksm_stat does not say whether something is mergeable. There a process counts once ksmd
 * has seen its memory; a VMM, the likeliest to be mergeable, is looked at closely. */
static bool is_mergeable(const struct core *core, pid_t pid, struct process_ksm *ret_ksm)
{
	const struct target *target = registry_find(&core->registry, pid);

	if (process_ksm_read(&core->root, pid, ret_ksm) < 0) {
		*ret_ksm = (struct process_ksm){ .mergeable = TRISTATE_UNKNOWN };
		return target && target->guest.is_vm && smaps_has_mergeable(&core->root, pid);
	}
	if (ret_ksm->mergeable != TRISTATE_UNKNOWN)
		return ret_ksm->mergeable == TRISTATE_YES;
	if (ret_ksm->rmap_items <= 0 && !(target && target->guest.is_vm))
		return false;
	return smaps_has_mergeable(&core->root, pid);
}

/* What its hook cannot un-mark (a ROM, video memory) may fold with the rest of what is asked to. */
static bool is_ours(const struct core *core, const struct target *target, const struct extent *extent)
{
	return extent->marked ||
		(extent->out_of_reach && target_wants_folds(target, core->active_group));
}

static bool is_covered(
	const struct core *core, const struct target *target, const struct smaps_list *smaps)
{
	bool ours = true;

	for (size_t i = 0; ours && i < smaps->count; i++) {
		const struct vma *vma = &smaps->vmas[i];
		uint64_t at = vma->start;

		while (vma->flags & VMA_MERGEABLE && ours && at < vma->end) {
			const struct extent *extent = extent_map_find(&target->guest.map, at);

			ours = extent && is_ours(core, target, extent);
			at = extent ? extent->end : vma->end;
		}
	}
	return ours;
}

bool foreign_is_all_ours(const struct core *core, const struct target *target)
{
	struct smaps_list smaps;
	bool ours;

	if (smaps_read(&core->root, target_pid(target), &smaps) < 0)
		return true; /* gone */
	ours = is_covered(core, target, &smaps);
	smaps_list_done(&smaps);
	return ours;
}

bool foreign_was_all_ours(const struct core *core, const struct target *target)
{
	return is_covered(core, target, &target->guest.smaps);
}

/* What a target has forked since the last pass. */
static bool is_inherited(const struct core *core, pid_t pid)
{
	const struct target *parent = heirs_find_parent(core, pid);

	return parent && !strcmp(parent->policy.group, core->active_group);
}

static bool is_expected(const struct core *core, pid_t pid, const struct target *target,
	enum survey_depth depth)
{
	if (!target)
		return is_inherited(core, pid);
	if (strcmp(target->policy.group, core->active_group))
		return false;
	if (depth == SURVEY_QUICK && target_wants_folds(target, core->active_group))
		return true;
	return foreign_is_all_ours(core, target);
}

static int survey_process(const struct core *core, pid_t pid, enum survey_depth depth,
	struct stranger **strangers, size_t *count)
{
	const struct target *target = registry_find(&core->registry, pid);
	struct process_ksm ksm;
	struct process_stat stat;
	struct stranger *more;

	if (!is_mergeable(core, pid, &ksm) || is_expected(core, pid, target, depth) ||
		process_stat_read(&core->root, pid, &stat) < 0)
		return 0;
	more = reallocarray(*strangers, *count + 1, sizeof(**strangers));
	if (!more)
		return -ENOMEM;
	*strangers = more;
	more[*count] = (struct stranger){
		.pid = pid,
		.merge_any = ksm.merge_any == TRISTATE_YES,
		.is_qemu = target && target->guest.vmm.is_qemu,
		.asked_for = target && target_wants_folds(target, core->active_group),
	};
	snprintf(more[*count].name, sizeof(more[*count].name), "%s",
		target ? target_name(target) : stat.comm);
	(*count)++;
	return 0;
}

int foreign_survey(const struct core *core, enum survey_depth depth, struct stranger **ret_strangers,
	size_t *ret_count)
{
	_cleanup_free_ struct stranger *strangers = NULL;
	_cleanup_free_ pid_t *pids = NULL;
	size_t pid_count, count = 0;
	int error;

	error = process_list(&core->root, &pids, &pid_count);
	for (size_t i = 0; !error && i < pid_count; i++)
		if (pids[i] != getpid())
			error = survey_process(core, pids[i], depth, &strangers, &count);
	if (error)
		return error;
	*ret_strangers = steal_pointer(&strangers);
	*ret_count = count;
	return 0;
}
