// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/visit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "daemon/account.h"
#include "daemon/glimpse.h"
#include "daemon/log.h"
#include "daemon/pressure.h"
#include "daemon/round.h"
#include "daemon/schedule.h"
#include "daemon/source.h"
#include "hypervisor-glue/host_memory.h"
#include "hypervisor-glue/host_pressure.h"

static uint64_t memory_limit_bytes(const struct core *core)
{
	struct host_memory memory;

	if (core->config.memory_max_bytes)
		return core->config.memory_max_bytes;
	return host_memory_read(&core->root, &memory) == 0 ? memory.total_bytes / 100 : UINT64_MAX;
}

static uint64_t prints_bytes(const struct core *core)
{
	uint64_t bytes = 0;

	for (size_t t = 0; t < core->registry.count; t++) {
		const struct extent_map *map = &core->registry.targets[t]->guest.map;

		for (size_t e = 0; e < map->count; e++)
			bytes += map->extents[e].prints ? sizeof(struct extent_prints) : 0;
	}
	return bytes;
}

/* ---- who is due ---- */

/* Boots, and is to be folded. */
static bool target_is_young(const struct target *target)
{
	return target->mapped && target->guest.is_vm && target->policy.mode == MODE_MERGE &&
	       !target->held && process_age_ns(&target->guest.process) < SCHEDULE_YOUNG_NS;
}

/* The first look only begins to tell. With --once there may be no second one. */
static void look_judge(const struct core *core, struct target *target)
{
	struct schedule_look look = { .taken_ns = clock_monotonic_ns() };
	struct footprint now;

	target->busy = target->unsettled = false;
	if (!target->young || core->once || footprint_read(&core->root, target_pid(target), &now) < 0)
		return;
	look.resident_pages = now.resident_pages;
	look.cpu_ns = now.cpu_ns;
	target->busy = schedule_is_busy(&target->look, &look);
	target->unsettled = target->busy && process_age_ns(&target->guest.process) < SCHEDULE_BUSY_NS;
	target->look = look;
}

static void youth_judge(struct core *core)
{
	core->hurried = core->booting = false;
	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];

		target->young = target_is_young(target);
		look_judge(core, target);
		core->hurried = core->hurried || target->young;
		core->booting = core->booting || target->busy;
	}
}

/* With visits NULL only counts them. */
static size_t target_collect(
	const struct core *core, struct target *target, uint64_t now, struct visit *visits)
{
	const enum view_trust trust = visits ? source_trust(core, target) : TRUST_NOTHING;
	size_t count = 0;

	for (size_t e = 0; e < target->guest.map.count; e++) {
		struct extent *extent = &target->guest.map.extents[e];

		if (extent->due_ns > now || extent->watched)
			continue;
		if (visits)
			visits[count] = (struct visit){
				.target = target,
				.extent = extent,
				.trust = trust,
				.pages_before = extent->pages_read,
				.zeros_before = extent->zeros,
			};
		count++;
	}
	return count;
}

/* The young come first: they are what somebody waits for. */
static size_t visits_collect(const struct core *core, uint64_t now, struct visit *visits)
{
	size_t count = 0;

	for (int old = 0; old <= 1; old++)
		for (size_t t = 0; t < core->registry.count; t++) {
			struct target *target = core->registry.targets[t];

			if (!target->mapped || target->policy.mode == MODE_OFF ||
				target->inherited || target->unsettled || target->young != !old ||
				judgement_rests(&target->judgement))
				continue;
			count += target_collect(core, target, now, visits ? visits + count : NULL);
		}
	return count;
}

static void target_refused(struct core *core, struct target *target, int error)
{
	target->mapped = false;
	core->index_stale = true;
	if (error != -ESRCH) /* a VM that ends in the middle of a scan is normal */
		text_set(&target->trouble, "its memory cannot be read: %s", strerror(-error));
}

static struct schedule schedule_now(const struct core *core)
{
	struct host_memory memory = { 0 };
	struct pressure pressure = { .stalled_percent = PRESSURE_NOT_MEASURED };

	(void)host_memory_read(&core->root, &memory);
	(void)host_pressure_read(&core->root, &pressure.stalled_percent); /* not every kernel measures it */
	pressure.total_bytes = memory.total_bytes;
	pressure.available_bytes = memory.available_bytes;
	return (struct schedule){
		.interval_ns = core->config.scan_interval_s * NS_PER_S,
		.settle_ns = core->config.settle_seconds * NS_PER_S,
		.under_pressure = pressure_is_on(&pressure, false),
	};
}

/* Zero pages need no count: what of them came or went is put right at once. The rest waits for one.
 */
static void visit_book(struct recount *recount, const struct visit *visit, uint64_t now)
{
	const struct extent *extent = visit->extent;
	struct twin_sums *sums = &visit->target->sums;
	const int pages = extent->pages_read - visit->pages_before;
	const int zeros = extent->zeros - visit->zeros_before;
	const int gone = zeros < 0 && pages < 0 ? (zeros > pages ? -zeros : -pages) : 0;

	if (extent->visits == 1) {
		recount_note(recount, extent->pages_read, now);
		return;
	}
	recount_note(recount, extent->changed > gone ? (uint64_t)(extent->changed - gone) : 0, now);
	if (sums->pages >= visit->pages_before && sums->zero_pages >= visit->zeros_before) {
		sums->pages += (uint64_t)(int64_t)pages;
		sums->zero_pages += (uint64_t)(int64_t)zeros;
		visit->target->saveable_bytes = twin_sums_saveable_bytes(sums);
	}
}

static int visits_take(struct core *core, const struct visit *visits, size_t count)
{
	const struct schedule schedule = schedule_now(core);
	const uint64_t now = clock_monotonic_ns();
	int error = 0;

	for (size_t i = 0; i < count; i++) {
		const struct visit *visit = &visits[i];
		struct extent *extent = visit->extent;

		ledger_visit(visit->target, visit->cpu_ns);
		break_counts_add(&visit->target->cost.broken, &visit->broken);
		if (visit->error == -ENOMEM)
			error = visit->error;
		else if (visit->error && visit->target->mapped)
			target_refused(core, visit->target, visit->error);
		if (!visit->done)
			continue;
		visit_book(&core->recount, visit, now);
		core->settled = core->settled || extent->settling;
		extent->judged = extent->settling && extent->visits > 1;
		extent->settling = false;
		extent->due_ns = now + schedule_rest_ns(&schedule, extent, visit->target->young);
	}
	return error;
}

static uint64_t pages_read(const struct crew *crew)
{
	uint64_t pages = 0;

	for (unsigned i = 0; i < crew->count; i++)
		pages += crew->scanners[i].pages_read;
	return pages;
}

/* What the rings and the helper computed since the round before. */
static void hooks_charge(struct core *core)
{
	uint64_t ring_ns, helper_ns;

	registry_hook_cpu(&core->registry, &ring_ns, &helper_ns);
	if (ring_ns + helper_ns <= core->charged_hook_ns)
		return;
	budget_charge(&core->budget, ring_ns + helper_ns - core->charged_hook_ns);
	core->charged_hook_ns = ring_ns + helper_ns;
}

/* Who is due at this moment, and reading it. */
static int due_read(struct core *core, size_t *ret_unread)
{
	const uint64_t limit = memory_limit_bytes(core), used = prints_bytes(core);
	const uint64_t now = clock_monotonic_ns();
	_cleanup_free_ struct visit *visits = NULL;
	size_t count;
	int error;

	visits = calloc(visits_collect(core, now, NULL) + 1, sizeof(*visits));
	if (!visits)
		return -ENOMEM;
	count = visits_collect(core, now, visits);
	error = round_run(core, visits, count,
		limit > used ? (limit - used) / sizeof(struct extent_prints) : 0, ret_unread);
	return error ? error : visits_take(core, visits, count);
}

/* What is read may show that more of what was put off is worth it: once, then nearly all is known. */
static int rounds_run(struct core *core, size_t *ret_unread)
{
	_cleanup_(glimpses_done) struct glimpses glimpses = { 0 };
	size_t more;
	int error;

	error = glimpses_take(core, clock_monotonic_ns(), &glimpses);
	if (!error)
		error = glimpses_judge(core, &glimpses, &more);
	if (!error)
		error = due_read(core, ret_unread);
	if (error || !glimpses.count || interrupt_raised(core->interrupt))
		return error;
	error = glimpses_judge(core, &glimpses, &more);
	return !error && more ? due_read(core, ret_unread) : error;
}

int visit_due(struct core *core)
{
	const uint64_t started_ns = clock_monotonic_ns(), read_before = pages_read(&core->crew);
	size_t unread = 0;
	int error;

	recount_begin(&core->recount);
	core->settled = false;
	/* Who is young, and what is due: both as of this moment, or what is counted would not be
	 * what is collected. */
	youth_judge(core);
	hooks_charge(core);
	source_nodes_judge(core);
	glimpses_redeem(core, started_ns);
	error = rounds_run(core, &unread);
	core->pass_pages = pages_read(&core->crew) - read_before;
	core->pass_scan_ns = clock_monotonic_ns() - started_ns;
	if (unread)
		sentences_add(&core->warnings,
			"memory-max is reached: %llu MiB of guest RAM are not read; raise "
			"memory-max "
			"(6.4 bytes for each 4 KiB page)",
			(unsigned long long)unread * 2);
	return error;
}

void visit_schedule(struct core *core, const struct plan *plan)
{
	const struct schedule schedule = schedule_now(core);
	const uint64_t now = clock_monotonic_ns();

	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_entry *entry = &plan->entries[i];
		const struct target *target;
		struct extent *extent;

		if (entry->action != PLAN_REVISIT)
			continue;
		target = core->registry.targets[entry->vm];
		extent = &target->guest.map.extents[entry->extent];
		/* What changed in a long rest says nothing of how it is now: a second visit follows
		 * soon. One that changes even then rests. Appointed once: passes that follow each
		 * other faster than it settles would put it off for ever. What was released is read
		 * as if it were new, but not before somebody wants it folded again. */
		if (extent->settling || extent->judged)
			continue;
		extent->due_ns = now;
		if (extent->visits)
			extent->due_ns += schedule_settle_ns(&schedule, target->young);
		extent->settling = true;
	}
}

uint64_t visit_awaited_ns(const struct core *core)
{
	uint64_t next_ns = UINT64_MAX;

	for (size_t i = 0; i < core->plan.count; i++) {
		const struct plan_entry *entry = &core->plan.entries[i];
		const struct target *target;
		const struct extent *extent;

		if (entry->action != PLAN_REVISIT)
			continue;
		/* By pid and address: a pass that was interrupted leaves the plan of the one
		 * before, whose indices nobody has kept up with. */
		target = registry_find(&core->registry, entry->pid);
		extent = target ? extent_map_find(&target->guest.map, entry->start) : NULL;
		if (extent && extent->settling && extent->due_ns < next_ns)
			next_ns = extent->due_ns;
	}
	return next_ns;
}

uint64_t visit_interval_ns(const struct core *core)
{
	const struct schedule schedule = {
		.interval_ns = core->config.scan_interval_s * NS_PER_S,
	};

	return schedule_interval_ns(&schedule, core->hurried && !core->paused);
}
