// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/apply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "daemon/arrival.h"
#include "daemon/batch.h"
#include "daemon/burst.h"
#include "daemon/dense.h"
#include "daemon/fold.h"
#include "daemon/foreign.h"
#include "daemon/log.h"
#include "daemon/means.h"
#include "daemon/release.h"
#include "daemon/takeover.h"

/* ---- who stands in the way ---- */

/* It may be asked for, and is left alone until it runs here. */
static bool stranger_arrives(const struct core *core, const struct stranger *stranger)
{
	const struct target *target = registry_find(&core->registry, stranger->pid);

	return target && arrival_text(target);
}

static void stranger_report(struct core *core, const struct stranger *stranger)
{
	if (stranger_arrives(core, stranger))
		sentences_add(&core->blocked_by,
			"%s (pid %d) arrives by migration, or is being restored, with mergeable memory: "
			"nothing is folded until it runs (it would not be waited for with -machine "
			"mem-merge=off, libvirt: <memoryBacking><nosharepages/></memoryBacking>)",
			stranger->name, (int)stranger->pid);
	else if (stranger->asked_for)
		sentences_add(&core->blocked_by,
			"%s (pid %d) was started with all of its memory mergeable, and pagefold cannot "
			"take that back: start it with -machine mem-merge=off (libvirt: "
			"<memoryBacking><nosharepages/></memoryBacking>)",
			stranger->name, (int)stranger->pid);
	else if (stranger->merge_any)
		sentences_add(&core->blocked_by,
			"%s (pid %d) has made all of its memory mergeable (PR_SET_MEMORY_MERGE) and was "
			"not asked for: give it a policy with mode = merge in group %s, or end it",
			stranger->name, (int)stranger->pid, core->active_group);
	else
		sentences_add(&core->blocked_by,
			"%s (pid %d) has mergeable memory and was not asked for: %s, or %s"
			"give it a policy with mode = merge in group %s",
			stranger->name, (int)stranger->pid,
			stranger->is_qemu
				? "start it with -machine mem-merge=off (libvirt: "
				  "<memoryBacking><nosharepages/></memoryBacking>)"
				: "keep it from marking its memory (madvise MADV_MERGEABLE), or end it",
			core->config.take_over ? "" : "set take-over = yes, or ", core->active_group);
}

static void strangers_take_over(
	struct core *core, const struct stranger *strangers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ char *reason = NULL;

		if (strangers[i].merge_any || strangers[i].asked_for ||
			stranger_arrives(core, &strangers[i]))
			continue;
		if (takeover_stranger(core, &strangers[i], &reason) < 0)
			sentences_add(&core->findings, "take-over of %s (pid %d) failed: %s",
				strangers[i].name, (int)strangers[i].pid, reason ? reason : "?");
		else
			log_notice("%s (pid %d): its memory is not mergeable any more (take-over)",
				strangers[i].name, (int)strangers[i].pid);
	}
}

static int strangers_report(
	struct core *core, enum survey_depth depth, bool take_over, size_t *ret_count)
{
	_cleanup_free_ struct stranger *strangers = NULL;
	size_t count;
	int error;

	error = foreign_survey(core, depth, &strangers, &count);
	if (error)
		return error;
	if (count && take_over) {
		strangers_take_over(core, strangers, count);
		return strangers_report(core, depth, false, ret_count);
	}
	for (size_t i = 0; i < count; i++)
		stranger_report(core, &strangers[i]);
	*ret_count = count;
	return 0;
}

/*
 * QEMU has the kernel report each first write to a page while it takes a snapshot in the background, through
 * a bit in the page table that is lost where KSM replaces the page (replace_page() in mm/ksm.c): the snapshot
 * would hold what was written after it. So ksmd does not run meanwhile.
 */
static bool watched_report(struct core *core)
{
	bool any = false;

	for (size_t i = 0; i < core->registry.count; i++) {
		const struct target *target = core->registry.targets[i];

		if (!target_is_watched(&core->root, target))
			continue;
		sentences_add(&core->blocked_by,
			"%s (pid %d) is folded, and a snapshot of it is being taken in the background "
			"(userfaultfd): nothing is folded until that is done",
			target_name(target), (int)target_pid(target));
		any = true;
	}
	return any;
}

static bool anybody_wants_folds(const struct core *core)
{
	for (size_t i = 0; i < core->registry.count; i++)
		if (target_wants_folds(core->registry.targets[i], core->active_group))
			return true;
	return false;
}

bool apply_way_is_clear(struct core *core)
{
	size_t strangers = 0;
	bool foreign = false;
	int error;

	/* On a host where nothing is asked for, nobody stands in the way of anything. */
	if (!anybody_wants_folds(core))
		return false;

	if (core->driver.status != DRIVER_READY) {
		sentences_add(&core->blocked_by, "%s", core->driver.reason);
		return false;
	}
	if (watched_report(core))
		return false;
	error = takeover_clean_active(core, &foreign);
	if (!error)
		error = strangers_report(core, foreign ? SURVEY_THOROUGH : SURVEY_QUICK,
			core->config.take_over, &strangers);
	if (error)
		sentences_add(&core->blocked_by,
			"whether other memory is mergeable could not be found out: %s",
			strerror(-error));
	return !error && !strangers;
}

/* ---- release ---- */

/* Which of its extents are to be released, marked as such; how many. */
static size_t extents_dismiss(const struct plan *plan, size_t vm, struct target *target)
{
	size_t count = 0;

	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_entry *entry = &plan->entries[i];

		if (entry->vm != vm || entry->action != PLAN_RELEASE)
			continue;
		target->guest.map.extents[entry->extent].dismissed = true;
		count++;
	}
	return count;
}

static void extents_keep(struct target *target)
{
	for (size_t e = 0; e < target->guest.map.count; e++)
		target->guest.map.extents[e].dismissed = false;
}

/* Some extents that stopped paying are no news, nor is it that they cannot be released for now. */
static void some_release(struct core *core, struct target *target, size_t count)
{
	_cleanup_free_ char *reason = NULL;

	if (release_target(core, target, RELEASE_DISMISSED, &reason) < 0)
		log_info("%s (pid %d): %zu extents do not pay any more, and stay folded: %s", target_name(target),
			(int)target_pid(target), count, reason ? reason : "?");
	else
		log_info("%s (pid %d): %zu extents did not pay any more, and are released", target_name(target),
			(int)target_pid(target), count);
}

static void apply_releases(struct core *core)
{
	for (size_t vm = 0; vm < core->registry.count; vm++) {
		struct target *target = core->registry.targets[vm];
		const size_t count = extents_dismiss(&core->plan, vm, target);
		_cleanup_free_ char *reason = NULL;

		if (count && target_wants_folds(target, core->active_group) && !judgement_rests(&target->judgement)) {
			some_release(core, target, count);
			extents_keep(target);
			continue;
		}
		extents_keep(target);
		if (!count)
			continue;
		if (release_target(core, target, RELEASE_ALL, &reason) < 0)
			text_set(&target->trouble, "it cannot be released: %s", reason ? reason : "?");
		else
			log_info("%s (pid %d): released", target_name(target), (int)target_pid(target));
	}
}

static void trouble_set(const struct core *core, struct target *target, const char *what, int error)
{
	_cleanup_free_ char *reason = NULL;

	means_explain(core, target, error, &reason);
	text_set(&target->trouble, "%s: %s", what, reason ? reason : "?");
}

/* A VM that was switched from merge to observe keeps its folds, and gives up the marks that hold none. */
static void apply_observed_trims(struct core *core)
{
	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];
		int error;

		/* Nothing goes into a process just because it was forked from one that is folded. */
		if (!target->mapped || target->policy.mode != MODE_OBSERVE || target->trimmed ||
			target->inherited || !target_has_marks(target))
			continue;
		error = fold_trim(core, target, 1, false);
		target->trimmed = !error;
		if (error && error != -ESRCH)
			trouble_set(core, target, "its unfolded marks cannot be cleared", error);
	}
}

/* ---- fold ---- */

static void apply_trims(struct core *core)
{
	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];
		int error;

		if (!target_wants_folds(target, core->active_group) || !target_has_marks(target))
			continue;
		error = guest_map(&core->root, &target->guest);
		if (!error)
			error = fold_trim(core, target, DENSE_GAP_PAGES, true);
		target->trimmed = false;
		if (error && error != -ESRCH)
			trouble_set(core, target, "its leftovers cannot be un-marked", error);
	}
}

/* What a burst has brought so far, for the books. */
static void active_map(struct core *core)
{
	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];

		if (target_wants_folds(target, core->active_group) && target_has_marks(target))
			(void)guest_map(&core->root, &target->guest); /* gone: so are its folds */
	}
}

static int apply_folds(struct core *core, void (*before_burst)(void *arg), void *arg)
{
	struct burst_result result;
	uint64_t marked;
	int error;

	forecast_begin(core);
	error = fold_apply(core, &core->plan, &marked);
	if (error || !marked) {
		forecast_drop(core);
		return error;
	}
	before_burst(arg);
	error = burst_run(core, &result);
	if (error) {
		forecast_drop(core);
		return error;
	}
	log_info("burst %llu: %s; %llu extents marked, %llu pages expected, %lld came back; ksmd %llu ms "
		 "CPU in %llu scans, %llu ms",
		(unsigned long long)core->bursts, burst_end_text(result.end),
		(unsigned long long)marked, (unsigned long long)core->plan.saved_pages,
		(long long)result.gained_pages, (unsigned long long)(result.ksmd_cpu_ns / NS_PER_MS),
		(unsigned long long)result.scans, (unsigned long long)(result.wall_ns / NS_PER_MS));
	if (result.end == BURST_STRANGER || result.end == BURST_TIMEOUT)
		sentences_add(&core->findings, "the last burst was %s", burst_end_text(result.end));
	/* What a burst that was cut short did not get to stays marked for the next one. */
	if (result.end == BURST_INTERRUPTED || result.end == BURST_STRANGER ||
		result.end == BURST_WATCHED || result.end == BURST_LIMITED) {
		forecast_drop(core);
		active_map(core);
		return 0;
	}
	apply_trims(core);
	plan_drop_folds(&core->plan);
	return 0;
}

int apply_plan(struct core *core, void (*before_burst)(void *arg), void *arg)
{
	apply_releases(core);
	apply_observed_trims(core);
	if (!apply_way_is_clear(core) || !batch_is_worth_a_burst(core))
		return 0;
	return apply_folds(core, before_burst, arg);
}
