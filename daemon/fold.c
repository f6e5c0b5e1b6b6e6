// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/fold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "daemon/account.h"
#include "daemon/advice_list.h"
#include "daemon/dense.h"
#include "daemon/log.h"
#include "daemon/means.h"
#include "daemon/whole.h"

/* ---- decide: what an extent was before ---- */

static enum huge_advice advice_before(const struct target *target, const struct extent *extent)
{
	const struct vma *vma = smaps_find(&target->guest.smaps, extent->start);

	if (vma && vma->flags & VMA_HUGEPAGE)
		return HUGE_ADVICE_ALWAYS;
	if (vma && vma->flags & VMA_NOHUGEPAGE)
		return HUGE_ADVICE_NEVER;
	return HUGE_ADVICE_NONE;
}

/* khugepaged leaves alone what nobody advised, unless huge pages are "always" on. */
static bool needs_nohugepage(const struct core *core, const struct extent *extent)
{
	return extent->advice == HUGE_ADVICE_ALWAYS ||
		(extent->advice == HUGE_ADVICE_NONE && core->thp_mode == THP_ALWAYS);
}

bool fold_advice_undo(const struct core *core, const struct extent *extent,
	struct advice_request *ret)
{
	/* madvise knows no way back to "no advice"; where that meant huge pages, this means the same. */
	if (!needs_nohugepage(core, extent))
		return false;
	*ret = (struct advice_request){
		.start = extent->start,
		.length = extent->end - extent->start,
		.advice = ADVICE_HUGEPAGE,
	};
	return true;
}

/* Map counts before the fold, of a process that may share pages with its children by fork: what it
 * shared before is not ours. NULL where it shared nothing. */
static int shared_before_read(struct target *target, const struct extent *extent, uint8_t **ret)
{
	struct page_frame frames[EXTENT_PAGES];
	const size_t pages = extent_pages(extent);
	bool any = false;
	uint8_t *shared;
	int error;

	*ret = NULL;
	if (target->guest.is_vm)
		return 0;
	error = pagemap_frames(&target->guest.pagemap, extent->start, pages, frames);
	if (error)
		return error;
	shared = calloc(EXTENT_PAGES, 1);
	if (!shared)
		return -ENOMEM;
	for (size_t i = 0; i < pages; i++) {
		const bool is_own = frames[i].ksm || frames[i].zero || !frames[i].mapcount;
		const uint32_t count = is_own ? 1 : frames[i].mapcount;

		shared[i] = (uint8_t)(count > UINT8_MAX ? UINT8_MAX : count);
		any = any || count > 1;
	}
	if (any)
		*ret = shared;
	else
		free(shared);
	return 0;
}

/* Notes all that is needed to undo the mark and to account for it, then counts the extent as marked. */
static int extent_prepare(struct target *target, struct extent *extent)
{
	int error = account_begin(target, extent);

	if (!error)
		error = shared_before_read(target, extent, &extent->shared_before);
	if (error)
		return error;
	extent->advice = (uint8_t)advice_before(target, extent);
	extent->marked = true;
	return 0;
}

/* ---- do: mark ---- */

/* The extents of one target that are to be marked, and which of them were not before. */
struct mark_job {
	struct target *target;
	struct extent **extents;
	bool *is_new;
	size_t count;
};

static void mark_job_done(struct mark_job *job)
{
	free(job->extents);
	free(job->is_new);
}

static void extent_promise(struct extent *extent, const struct plan_entry *entry)
{
	extent->fresh = true;
	extent->had = extent_folds(extent);
	extent->promised = entry->gain;
}

static int mark_job_init(struct mark_job *job, struct core *core, const struct plan *plan, size_t vm)
{
	struct target *target = core->registry.targets[vm];

	*job = (struct mark_job){ .target = target };
	if (!target_has_marks(target))
		target->marked_since_ticks = clock_boot_ticks();
	job->extents = calloc(plan->count, sizeof(struct extent *));
	job->is_new = calloc(plan->count, sizeof(bool));
	if (!job->extents || !job->is_new)
		return -ENOMEM;
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_entry *entry = &plan->entries[i];
		struct extent *extent;

		if (entry->vm != vm || entry->action != PLAN_FOLD)
			continue;
		extent = &target->guest.map.extents[entry->extent];
		job->is_new[job->count] = !extent->marked;
		if (!extent->marked && extent_prepare(target, extent) < 0)
			continue; /* it changes under us: the next pass looks again */
		extent_promise(extent, entry);
		job->extents[job->count++] = extent;
	}
	return 0;
}

static void mark_job_undo(struct mark_job *job)
{
	for (size_t i = 0; i < job->count; i++)
		if (job->is_new[i])
			extent_unmark(job->extents[i]);
}

/* Those of neighbouring extents that need the same huge-page advice: that comes first, for all of them. */
static int neighbours_mark(const struct core *core, struct mark_job *job, size_t first, size_t end,
	uint64_t *gap_vmas, struct advice_list *list)
{
	struct extent *const *extents = job->extents;
	int error = 0;

	if (needs_nohugepage(core, extents[first]))
		error = advice_list_add(
			list, extents[first]->start, extents[end - 1]->end, ADVICE_NOHUGEPAGE);
	for (size_t i = first; !error && i < end; i++)
		error = dense_mark(extents[i], gap_vmas, list);
	return error;
}

static int mark_requests(const struct core *core, struct mark_job *job, struct advice_list *list)
{
	const uint64_t whole_vmas = job->count * PLAN_VMAS_PER_EXTENT;
	uint64_t *room = &job->target->vma_room;
	uint64_t gap_vmas = *room > whole_vmas ? *room - whole_vmas : 0;
	int error = 0;

	*room -= gap_vmas;
	for (size_t i = 0, next; !error && i < job->count; i = next) {
		struct extent *const *extents = job->extents;
		const bool nohuge = needs_nohugepage(core, extents[i]);

		for (next = i + 1; next < job->count; next++)
			if (extents[next]->start != extents[next - 1]->end ||
				needs_nohugepage(core, extents[next]) != nohuge)
				break;
		error = neighbours_mark(core, job, i, next, &gap_vmas, list);
	}
	*room += gap_vmas; /* the trim has what is left */
	return error;
}

static void mark_results(const struct core *core, struct mark_job *job,
	const struct advice_request *requests, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ char *reason = NULL;

		if (!requests[i].ret_result)
			continue;
		means_explain(core, job->target, requests[i].ret_result, &reason);
		text_set(&job->target->trouble, "marking %#llx-%#llx was refused: %s",
			(unsigned long long)requests[i].start,
			(unsigned long long)(requests[i].start + requests[i].length),
			reason ? reason : "?");
	}
}

/* What was refused stays in the record: whether a mark took, smaps tells, and the next trim clears what
 * folded nothing. */
static int mark_carry_out(struct core *core, struct mark_job *job)
{
	_cleanup_(advice_list_done) struct advice_list list = { 0 };
	int error = mark_requests(core, job, &list);

	if (!error)
		error = means_advise(core, job->target, list.requests, list.count);
	if (error)
		return error;
	mark_results(core, job, list.requests, list.count);
	for (size_t i = 0; i < job->count; i++)
		job->target->marked_extents += job->is_new[i];
	return 0;
}

static void mark_refused(const struct core *core, struct target *target, int error)
{
	_cleanup_free_ char *reason = NULL;

	means_explain(core, target, error, &reason);
	text_set(&target->trouble, "its memory cannot be marked: %s",
		reason ? reason : strerror(-error));
}

/* A hook that advises the whole says for certain where it did nothing. */
static int mark_whole(struct core *core, struct mark_job *job)
{
	_cleanup_free_ struct advice_request *requests = NULL;
	const struct extent *const extents = job->target->guest.map.extents;
	const int error = whole_advise(core, job->target, ADVICE_MERGEABLE, &requests);

	if (error)
		return error;
	job->target->marked_extents = 0;
	for (size_t i = 0; i < job->count; i++) {
		const int result = requests[job->extents[i] - extents].ret_result;

		job->extents[i]->out_of_reach = result == -EOPNOTSUPP;
		if ((result == -EOPNOTSUPP || result == -EXDEV) && job->is_new[i])
			extent_unmark(job->extents[i]);
		if (result && result != -EOPNOTSUPP)
			mark_refused(core, job->target, result);
		job->target->marked_extents += job->extents[i]->marked;
	}
	return 0;
}

static bool plan_has_folds(const struct plan *plan, size_t vm)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->entries[i].vm == vm && plan->entries[i].action == PLAN_FOLD)
			return true;
	return false;
}

static int jobs_prepare(
	struct core *core, const struct plan *plan, struct mark_job *jobs, size_t *ret_count)
{
	*ret_count = 0;
	for (size_t vm = 0; vm < core->registry.count; vm++) {
		int error;

		struct target *target = core->registry.targets[vm];

		if (!plan_has_folds(plan, vm) || means_attach(core, target) < 0)
			continue;
		/* Only now is it known which hook it is: the next plan is made for that one. */
		if (target->hook->ops->whole != target->planned_whole)
			continue;
		error = mark_job_init(&jobs[(*ret_count)++], core, plan, vm);
		if (error)
			return error;
	}
	return 0;
}

int fold_apply(struct core *core, const struct plan *plan, uint64_t *ret_marked)
{
	_cleanup_free_ struct mark_job *jobs = calloc(core->registry.count + 1, sizeof(*jobs));
	uint64_t marked = 0;
	size_t count = 0;
	int error;

	if (!jobs)
		return -ENOMEM;
	error = jobs_prepare(core, plan, jobs, &count);
	if (!error)
		error = core_record(core);
	for (size_t i = 0; i < count; i++) {
		int refused = 0;

		if (error)
			mark_job_undo(&jobs[i]);
		else
			refused = jobs[i].target->hook->ops->whole
				? mark_whole(core, &jobs[i])
				: mark_carry_out(core, &jobs[i]);
		if (refused && refused != -ESRCH)
			log_warning("%s (pid %d): marking failed: %s", target_name(jobs[i].target),
				(int)target_pid(jobs[i].target), strerror(-refused));
		if (!error && !refused)
			marked += jobs[i].count;
		mark_job_done(&jobs[i]);
	}
	if (!error)
		*ret_marked = marked;
	return error;
}
