// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/foreign.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "daemon/log.h"
#include "daemon/means.h"
#include "daemon/release.h"
#include "daemon/whole.h"
#include "hypervisor-glue/ksm.h"
#include "hypervisor-glue/smaps.h"

/* ---- survey ---- */

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

/* Every mergeable VMA of the process lies in extents that we marked in the target. */
static bool is_covered(const struct core *core, pid_t pid, const struct target *target)
{
	struct smaps_list smaps;
	bool ours = true;

	if (smaps_read(&core->root, pid, &smaps) < 0)
		return true; /* gone */
	for (size_t i = 0; ours && i < smaps.count; i++) {
		const struct vma *vma = &smaps.vmas[i];
		uint64_t at = vma->start;

		while (vma->flags & VMA_MERGEABLE && ours && at < vma->end) {
			const struct extent *extent = extent_map_find(&target->guest.map, at);

			ours = extent && is_ours(core, target, extent);
			at = extent ? extent->end : vma->end;
		}
	}
	smaps_list_done(&smaps);
	return ours;
}

static bool is_all_ours(const struct core *core, const struct target *target)
{
	return is_covered(core, target_pid(target), target);
}

/* What a target forks inherits the marks. As long as it has no others, its mergeable memory is a copy of
 * what was asked for. */
static const struct target *ancestor_find(const struct core *core, pid_t pid)
{
	struct process_stat stat;

	while (pid > 1 && process_stat_read(&core->root, pid, &stat) == 0) {
		const struct target *target = registry_find(&core->registry, stat.parent);

		if (target)
			return target;
		pid = stat.parent;
	}
	return NULL;
}

static bool is_inherited(const struct core *core, pid_t pid)
{
	const struct target *ancestor = ancestor_find(core, pid);

	return ancestor && !ancestor->guest.is_vm &&
		!strcmp(ancestor->policy.group, core->active_group) &&
		is_covered(core, pid, ancestor);
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
	return is_all_ours(core, target);
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

/* ---- un-mark ---- */

struct unmark_list {
	struct advice_request *requests;
	size_t count;
};

struct unmark {
	struct unmark_list plain;  /* holds no KSM page: costs nothing to un-mark */
	struct unmark_list merged; /* holds KSM pages: */
	uint64_t merged_pages;     /* so many, to be copied back */
};

static void unmark_done(struct unmark *unmark)
{
	free(unmark->plain.requests);
	free(unmark->merged.requests);
}

static int unmark_add(struct unmark_list *list, uint64_t start, uint64_t end)
{
	struct advice_request *more =
		reallocarray(list->requests, list->count + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	list->requests = more;
	more[list->count++] =
		(struct advice_request){ start, end - start, ADVICE_UNMERGEABLE, 0 };
	return 0;
}

static int unmark_carry_out(struct core *core, struct target *target, struct unmark_list *list)
{
	int error;

	if (!list->count)
		return 0;
	error = means_attach(core, target);
	if (!error)
		error = means_advise(core, target, list->requests, list->count);
	for (size_t i = 0; !error && i < list->count; i++)
		error = list->requests[i].ret_result;
	return error;
}

/* One slice of a mergeable VMA, at most one extent long. */
struct slice {
	uint64_t start, end;
	struct extent *extent; /* NULL: no guest RAM of ours to see */
};

/* How many KSM pages it holds, or -errno. */
static int slice_ksm_pages(struct target *target, const struct slice *slice)
{
	struct page_frame frames[EXTENT_PAGES];
	const size_t pages = (slice->end - slice->start) / PAGE_BYTES;
	const int error =
		pagemap_frames(&target->guest.pagemap, slice->start, pages, frames);
	int count = 0;

	for (size_t i = 0; !error && i < pages; i++)
		count += frames[i].ksm;
	return error ? error : count;
}

static struct slice slice_next(const struct target *target, const struct vma *vma, uint64_t at)
{
	const uint64_t border = (at / EXTENT_BYTES + 1) * EXTENT_BYTES;
	struct slice slice = { .start = at, .end = border < vma->end ? border : vma->end };

	slice.extent = extent_map_find(&target->guest.map, at);
	if (slice.extent && slice.extent->end < slice.end)
		slice.end = slice.extent->end;
	return slice;
}

/* Somebody else marked it and ksmd folded in it: from now on it is as if we had. */
static void extent_adopt_foreign(struct extent *extent, const struct vma *vma)
{
	extent->marked = true;
	extent->advice = vma->flags & VMA_HUGEPAGE ? HUGE_ADVICE_ALWAYS
		: vma->flags & VMA_NOHUGEPAGE      ? HUGE_ADVICE_NEVER
						   : HUGE_ADVICE_NONE;
	extent->zero_before = 0;
	extent->was_huge = extent->huge;
}

static int clean_vma(
	struct target *target, const struct vma *vma, bool adopt, struct unmark *unmark)
{
	int error = 0;

	for (uint64_t at = vma->start; !error && at < vma->end;) {
		const struct slice slice = slice_next(target, vma, at);
		int merged;

		at = slice.end;
		if (adopt && slice.extent && slice.extent->marked)
			continue;
		merged = slice_ksm_pages(target, &slice);
		if (merged < 0)
			return merged;
		error = unmark_add(
			merged ? &unmark->merged : &unmark->plain, slice.start, slice.end);
		unmark->merged_pages += (unsigned)merged;
		if (merged && adopt && slice.extent)
			extent_adopt_foreign(slice.extent, vma);
	}
	return error;
}

/* Marked by somebody else, and some of it folded: it can only stay as it is, so from now on it is as if we
 * had marked it. */
static void adopt_whole(struct target *target)
{
	const struct smaps_list *smaps = &target->guest.smaps;

	for (size_t i = 0; i < smaps->count; i++) {
		const struct vma *vma = &smaps->vmas[i];

		for (size_t e = 0; vma->flags & VMA_MERGEABLE && e < target->guest.map.count; e++) {
			struct extent *extent = &target->guest.map.extents[e];

			if (!extent->marked && extent->start >= vma->start && extent->start < vma->end)
				extent_adopt_foreign(extent, vma);
		}
	}
}

static int clean_whole(struct core *core, struct target *target, struct unmark *unmark)
{
	if (!unmark->merged_pages && !target_has_marks(target))
		return whole_unmark(core, target);
	adopt_whole(target);
	return 0;
}

static int clean_target(struct core *core, struct target *target, bool adopt, struct unmark *unmark)
{
	const struct smaps_list *smaps = &target->guest.smaps;
	int error = 0;

	for (size_t i = 0; !error && i < smaps->count; i++)
		if (smaps->vmas[i].flags & VMA_MERGEABLE)
			error = clean_vma(target, &smaps->vmas[i], adopt, unmark);
	if (!error && unmark->plain.count + unmark->merged.count)
		error = means_attach(core, target);
	if (error)
		return error;
	if (target->hook && target->hook->ops->whole)
		return adopt ? clean_whole(core, target, unmark) : 0;
	return unmark_carry_out(core, target, &unmark->plain);
}

int foreign_clean_active(struct core *core)
{
	bool adopted = false;

	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];
		struct unmark unmark = { 0 };
		_cleanup_free_ char *reason = NULL;
		int error;

		if (!target_wants_folds(target, core->active_group) ||
			is_all_ours(core, target))
			continue;
		error = clean_target(core, target, true, &unmark);
		if (!error)
			log_info("%s (pid %d): %zu ranges marked by somebody else un-marked, %zu with "
				 "folded pages adopted", target_name(target), (int)target_pid(target),
				unmark.plain.count, unmark.merged.count);
		adopted = adopted || unmark.merged.count;
		unmark_done(&unmark);
		if (error == -ENOMEM)
			return error;
		if (!error || error == -ESRCH)
			continue;
		means_explain(core, target, error, &reason);
		text_set(&target->trouble,
			"all of its RAM is marked mergeable (QEMU's default), and that cannot be "
			"undone: %s", reason ? reason : "?");
	}
	return adopted ? core_record(core) : 0;
}

int foreign_take_over(
	struct core *core, const struct stranger *stranger, char **ret_reason)
{
	struct target *target = registry_find(&core->registry, stranger->pid);
	struct target *own = NULL;
	struct unmark unmark = { 0 };
	int error = 0;

	*ret_reason = NULL;
	if (!target) {
		error = target_new(&core->root, stranger->pid, true, &own);
		target = own;
	}
	/* One that is switched off was not even mapped. */
	if (!error)
		error = guest_map(&core->root, &target->guest);
	if (!error)
		error = clean_target(core, target, false, &unmark);
	if (!error && unmark.merged.count)
		error = release_headroom(core, stranger->pid, unmark.merged_pages * PAGE_BYTES,
			ret_reason);
	if (!error)
		error = target->hook && target->hook->ops->whole
			? whole_unmark(core, target)
			: unmark_carry_out(core, target, &unmark.merged);
	if (error && !*ret_reason && target)
		means_explain(core, target, error, ret_reason);
	else if (error && !*ret_reason)
		text_set(ret_reason, "%s", strerror(-error));
	unmark_done(&unmark);
	target_free(own);
	return error;
}
