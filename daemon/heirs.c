// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/heirs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/log.h"
#include "hypervisor-glue/ksm.h"
#include "hypervisor-glue/smaps.h"

/* The closest one that we know, dead or alive between the two. */
static const struct target *ancestor_find(
	const struct host_root *root, const struct registry *registry, pid_t pid)
{
	struct process_stat stat;

	while (pid > 1 && process_stat_read(root, pid, &stat) == 0) {
		const struct target *target = registry_find(registry, stat.parent);

		if (target)
			return target;
		pid = stat.parent;
	}
	return NULL;
}

/* A program that was started in place of the forked one has none of its memory. */
static bool is_same_program(const struct host_root *root, pid_t pid, pid_t other)
{
	_cleanup_free_ char *exe = NULL, *other_exe = NULL;

	return process_exe_read(root, pid, &exe) == 0 &&
	       process_exe_read(root, other, &other_exe) == 0 && !strcmp(exe, other_exe);
}

/* Every mergeable VMA lies in extents that are marked in the parent, and there is one. */
static bool is_covered(const struct smaps_list *smaps, const struct target *parent)
{
	bool any = false;

	for (size_t i = 0; i < smaps->count; i++) {
		const struct vma *vma = &smaps->vmas[i];

		if (!(vma->flags & VMA_MERGEABLE))
			continue;
		any = true;
		for (uint64_t at = vma->start; at < vma->end;) {
			const struct extent *extent = extent_map_find(&parent->guest.map, at);

			if (!extent || !extent->marked)
				return false;
			at = extent->end;
		}
	}
	return any;
}

/* With PR_SET_MEMORY_MERGE it has marked itself. */
static bool may_be_mergeable(const struct host_root *root, pid_t pid)
{
	struct process_ksm ksm;

	return process_ksm_read(root, pid, &ksm) == 0 && ksm.merge_any != TRISTATE_YES &&
	       ksm.mergeable != TRISTATE_NO;
}

const struct target *heirs_find_parent(const struct core *core, pid_t pid)
{
	const struct target *parent = ancestor_find(&core->root, &core->registry, pid);
	struct process_stat stat;
	struct smaps_list smaps;
	bool covered;

	if (!parent || parent->guest.is_vm || !parent->marked_since_ticks ||
		process_stat_read(&core->root, pid, &stat) < 0 ||
		stat.start_ticks < parent->marked_since_ticks ||
		!may_be_mergeable(&core->root, pid) ||
		!is_same_program(&core->root, pid, target_pid(parent)) ||
		smaps_read(&core->root, pid, &smaps) < 0)
		return NULL;
	covered = is_covered(&smaps, parent);
	smaps_list_done(&smaps);
	return covered ? parent : NULL;
}

void heirs_set_policy(
	const struct host_root *root, const struct registry *registry, struct target *heir)
{
	const struct target *parent = ancestor_find(root, registry, target_pid(heir));

	if (!parent || parent->guest.is_vm) {
		heir->inherited_policy.mode = MODE_OFF;
		return;
	}
	heir->inherited_policy = parent->policy;
	if (parent->held)
		heir->inherited_policy.mode = MODE_OFF;
	else if (parent->policy.mode == MODE_MERGE)
		heir->inherited_policy.mode = MODE_OBSERVE;
}

static bool is_marked_in(const struct smaps_list *smaps, const struct extent *extent)
{
	for (size_t i = 0; i < smaps->count; i++)
		if (smaps->vmas[i].flags & VMA_MERGEABLE && smaps->vmas[i].start < extent->end &&
			smaps->vmas[i].end > extent->start)
			return true;
	return false;
}

static void marks_inherit(struct target *heir, const struct target *parent)
{
	for (size_t i = 0; i < heir->guest.map.count; i++) {
		struct extent *extent = &heir->guest.map.extents[i];
		const struct extent *from = extent_map_find(&parent->guest.map, extent->start);

		if (!from || !from->marked || !is_marked_in(&heir->guest.smaps, extent))
			continue;
		extent->marked = true;
		extent->advice = from->advice;
		extent->was_huge = from->was_huge;
		extent->zero_before = from->zero_before;
		heir->marked_extents++;
	}
	heir->inherited = heir->mapped = heir->present = true;
	heir->marked_since_ticks = parent->marked_since_ticks;
	heir->policy = parent->policy;
	heir->policy.mode = MODE_OBSERVE;
}

/* The same frame at the same place is what a fork leaves: others that fold there later are told by their marks. */
static void extent_note_folds(
	struct target *target, struct extent *extent, struct target *parent)
{
	struct page_frame frames[EXTENT_PAGES], theirs[EXTENT_PAGES];
	const unsigned pages = extent_pages(extent);
	uint8_t *shared = extent->shared_before;

	if (pagemap_frames(&target->guest.pagemap, extent->start, pages, frames) < 0 ||
		pagemap_frames(&parent->guest.pagemap, extent->start, pages, theirs) < 0)
		return;
	if (!shared) {
		shared = malloc(EXTENT_PAGES);
		if (!shared)
			return; /* they seem to save more than they do */
		memset(shared, 1, EXTENT_PAGES);
		extent->shared_before = shared;
	}
	for (unsigned page = 0; page < pages; page++)
		if (frames[page].ksm && frames[page].pfn == theirs[page].pfn)
			shared[page] = SHARED_BY_FORK;
}

void heirs_note_folds(const struct core *core, struct target *target)
{
	const struct target *ancestor =
		ancestor_find(&core->root, &core->registry, target_pid(target));
	struct target *parent = ancestor ? registry_find(&core->registry, target_pid(ancestor)) : NULL;

	if (!parent || target->guest.is_vm || parent->guest.is_vm || !parent->marked_since_ticks ||
		target->guest.process.id.start_ticks < parent->marked_since_ticks ||
		!is_same_program(&core->root, target_pid(target), target_pid(parent)))
		return;
	for (size_t i = 0; i < target->guest.map.count; i++)
		if (target->guest.map.extents[i].marked)
			extent_note_folds(target, &target->guest.map.extents[i], parent);
}

static int heir_adopt(struct core *core, pid_t pid)
{
	const struct target *parent = heirs_find_parent(core, pid);
	struct target *heir;
	int error;

	if (!parent)
		return 0;
	error = target_new(&core->root, pid, core->features.have[FEATURE_PAGEMAP_SCAN], &heir);
	if (error)
		return error;
	error = guest_map(&core->root, &heir->guest);
	if (!error) {
		marks_inherit(heir, parent);
		heirs_note_folds(core, heir); /* for when it is asked for by itself one day */
		error = target_has_marks(heir) ? registry_insert(&core->registry, heir) : -ENOENT;
	}
	if (error) {
		target_free(heir);
		return error;
	}
	log_info("%s (pid %d): forked from pid %d, whose marks it has inherited", target_name(heir),
		(int)pid, (int)target_pid(parent));
	return 1;
}

static bool anybody_bequeaths(const struct core *core)
{
	for (size_t i = 0; i < core->registry.count; i++)
		if (!core->registry.targets[i]->guest.is_vm &&
			target_has_marks(core->registry.targets[i]))
			return true;
	return false;
}

int heirs_adopt(struct core *core)
{
	_cleanup_free_ pid_t *pids = NULL;
	bool adopted = false;
	size_t count = 0;
	int error;

	if (!anybody_bequeaths(core))
		return 0;
	error = process_list(&core->root, &pids, &count);
	for (size_t i = 0; !error && i < count; i++) {
		int result;

		if (registry_find(&core->registry, pids[i]))
			continue;
		result = heir_adopt(core, pids[i]);
		if (result == -ENOMEM)
			error = result; /* others are gone, or not to be looked at: as before */
		adopted = adopted || result > 0;
	}
	if (error)
		return error;
	return adopted ? core_record(core) : 0;
}
