// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/pass.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "daemon/account.h"
#include "daemon/apply.h"
#include "daemon/arrival.h"
#include "daemon/census.h"
#include "daemon/draft.h"
#include "daemon/groups.h"
#include "daemon/heirs.h"
#include "daemon/log.h"
#include "daemon/means.h"
#include "daemon/pid_rules.h"
#include "daemon/publish.h"
#include "daemon/room.h"
#include "daemon/visit.h"
#include "hypervisor-glue/host_memory.h"


static void driver_look(struct core *core)
{
	const bool owed = core->driver.owes;

	driver_survey(&core->driver, &core->root, &core->registry.processes, core->config.ksm_owner);
	if (owed && !core->driver.owes && core_record(core) < 0)
		log_warning("KSM's knobs are as they were, but the record still says that they are owed");
}

/* Whether news of that kind make a count another one. Nothing of a VM that has just come has been
 * read; but one that is not of the active group may be what another group is chosen for. */
static bool news_matter(struct core *core)
{
	bool matter = core->registry.lost_reads;

	core->registry.lost_reads = false;
	for (size_t i = 0; i < core->registry.count; i++) {
		const struct target *target = core->registry.targets[i];

		matter = matter ||
			 (target->policy_is_new &&
				 (target_was_read(target) ||
					 strcmp(target->policy.group, core->active_group) != 0));
	}
	return matter;
}

/* ret_news: somebody came, went, or has another policy. */
static int stage_discover(struct core *core, bool *ret_news)
{
	_cleanup_(links_tables_done) struct links_tables libvirt = { 0 };
	const struct registry_sources sources = {
		.root = &core->root,
		.policies = { &core->policies, &libvirt, core->config.default_mode },
		.allow_pagemap_scan = core->features.have[FEATURE_PAGEMAP_SCAN],
		.recorded = &core->recorded,
	};
	const size_t known = core->registry.count;
	_cleanup_free_ char *trouble = NULL;
	int error;

	sentences_clear(&core->warnings);
	error = links_tables(core->links, &libvirt);
	if (error)
		return error;
	for (size_t i = 0; i < libvirt.count; i++)
		if (libvirt.tables[i]->trouble)
			sentences_add(&core->warnings, "%s", libvirt.tables[i]->trouble);
	pid_rules_check(&core->policies, &core->root, &core->warnings);
	error = registry_refresh(&core->registry, &sources, &trouble);
	if (trouble)
		sentences_add(&core->warnings, "%s", trouble);
	*ret_news = core->registry.count != known;
	for (size_t i = 0; i < core->registry.count; i++)
		*ret_news = *ret_news || core->registry.targets[i]->policy_is_new;
	core->index_stale = news_matter(core) || core->index_stale;
	driver_look(core);
	if (thp_mode_read(&core->root, &core->thp_mode) < 0)
		core->thp_mode = THP_NEVER; /* compiled out */
	return error;
}

static void target_map(struct core *core, struct target *target, uint64_t max_map_count)
{
	size_t marks;
	int error;

	target->mapped = false;
	free(target->trouble);
	target->trouble = NULL;
	if (target->policy.mode == MODE_OFF && !target_has_marks(target))
		return;
	if (!arrival_is_over(core, target))
		return;
	marks = target_marks(target);
	error = guest_map(&core->root, &target->guest);
	if (error == -ESRCH)
		return;
	if (error) {
		text_set(&target->trouble, "its address space cannot be read: %s", strerror(-error));
		return;
	}
	target->mapped = true;
	target->looked_ns = clock_monotonic_ns();
	target->looked_bursts = core->bursts;
	target_check_marks(target);
	core->registry.lost_marks = core->registry.lost_marks || target_marks(target) < marks;
	room_look(core, target, max_map_count);
}

/* Each of them, but for those that are spared, where that is allowed. A fold looks once more, for
 * strangers: the cost counts twice. */
static int stage_map(struct core *core, bool may_spare, uint64_t *ret_cost_ns)
{
	const uint64_t before_ns = clock_thread_cpu_ns(), now_ns = clock_monotonic_ns();
	uint64_t max_map_count;
	const int error = max_map_count_read(&core->root, &max_map_count);

	for (size_t i = 0; !error && i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];
		const struct ledger_stretch stretch = ledger_begin(core);

		target->spared = may_spare && rest_spares(core, target, now_ns);
		if (!target->spared)
			target_map(core, target, max_map_count);
		ledger_end_for(core, stretch, target);
	}
	*ret_cost_ns = 2 * (clock_thread_cpu_ns() - before_ns);
	return error;
}

static void stage_account(struct core *core, uint64_t *cost_ns)
{
	const uint64_t before_ns = clock_thread_cpu_ns();

	account_targets(core);
	*cost_ns += clock_thread_cpu_ns() - before_ns;
}

/* While the pass rests otherwise. */
static int stage_map_moved(struct core *core)
{
	uint64_t max_map_count;
	const int error = max_map_count_read(&core->root, &max_map_count);

	for (size_t i = 0; !error && i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];
		const struct ledger_stretch stretch = ledger_begin(core);

		if (!rest_holds(core, target)) {
			target_map(core, target, max_map_count);
			if (target->mapped)
				account_target(core, target);
		}
		ledger_end_for(core, stretch, target);
	}
	return error;
}

/* Switched off; or of a group that is not the active one (any more): only one may have folds. */
static bool must_release(const struct core *core, const struct target *target)
{
	return target->mapped && core->active_group[0] && target_has_marks(target) &&
		(target->policy.mode == MODE_OFF ||
			strcmp(target->policy.group, core->active_group) != 0);
}

static int stage_plan(struct core *core)
{
	const size_t count = core->registry.count;
	_cleanup_free_ struct plan_vm *vms = calloc(count + 1, sizeof(*vms));
	struct plan plan;
	int error;

	if (!vms)
		return -ENOMEM;
	judge_decide(core, clock_monotonic_ns());
	for (size_t i = 0; i < count; i++) {
		struct target *target = core->registry.targets[i];

		const bool wanted = target_wants_folds(target, core->active_group);

		target->planned_whole = means_is_whole(core, target);
		target->hook_missed = wanted && means_refused(core, target);
		vms[i] = (struct plan_vm){
			.name = target_name(target),
			.pid = target_pid(target),
			.map = &target->guest.map,
			.hugepages = target->policy.hugepages,
			.fold = wanted && !target->hook_missed &&
				!judgement_rests(&target->judgement),
			.release = must_release(core, target) ||
				judgement_rests(&target->judgement),
			.why = judgement_rests(&target->judgement)
				? "folding this VM costs more than it gives"
				: NULL,
			.whole = target->planned_whole,
			.vma_room = target->vma_room,
		};
	}
	error = plan_make(vms, count, core->pass_number, &plan);
	if (error)
		return error;
	if (restraint_holds_back(&core->restraint))
		plan_hold_folds(&plan, core->restraint.waiting);
	plan_done(&core->plan);
	core->plan = plan;
	visit_schedule(core, &plan);
	return 0;
}

/* What is gone has taken its marks along: the record is to say so even if nothing is marked any more. */
static void record_losses(struct core *core)
{
	int error;

	if (!core->registry.lost_marks)
		return;
	error = core_record(core);
	core->registry.lost_marks = error != 0;
	if (error)
		log_warning("the state record still names marks that are gone, because it cannot be "
			    "written: %s", strerror(-error));
}

/* What a pass that does not rest hands from its beginning to its end. */
struct full_pass {
	uint64_t started_ns, cost_ns;
	uint64_t bursts_before;
	int error;
};

struct publication {
	struct core *core;
	publish_fn publish;
	void *arg;
};

static void publish_now(void *arg)
{
	struct publication *publication = arg;
	struct snapshot *snapshot = publish_snapshot(publication->core);

	if (snapshot)
		publication->publish(publication->arg, snapshot);
}

static void publish_burst(void *arg)
{
	struct publication *publication = arg;

	publication->core->bursting = true;
	publish_now(publication);
	publication->core->bursting = false;
}

/* Everybody's address space, and what can be said from it alone. */
static int stages_look(struct core *core, bool news, struct publication *publication, uint64_t *ret_cost_ns)
{
	int error = stage_map(core, !news, ret_cost_ns);

	sentences_clear(&core->findings);
	if (!error)
		error = heirs_adopt(core);
	if (error)
		return error;
	audit_take(core); /* of the last burst: who may be strange is known anew now */
	/* Reading may take long: who is there, and with which policy, is known now. */
	if (news)
		account_targets(core);
	(void)restraint_look(core);
	record_losses(core); /* nobody is told that a VM is gone whose marks are still on record */
	if (news)
		publish_now(publication);
	return 0;
}

/* What follows from what was read. */
static int stages_fold(struct core *core, struct publication *publication)
{
	int error = 0;

	groups_follow_config(core);
	if (census_is_due(core))
		error = census_take(core);
	if (!error)
		error = stage_plan(core);
	if (!error)
		error = apply_plan(core, publish_burst, publication);
	return error;
}

/* After what was folded has been counted: what of it still pays. True: something has lapsed just now, and needs a
 * plan. What cannot be released then waits for the next full pass. */
static bool payoffs_look(struct core *core)
{
	const uint64_t now_ns = clock_monotonic_ns();
	const float kept = payoff_kept((double)(now_ns - core->payoff_ns) / (double)NS_PER_S);

	bool lapsed = false;

	core->payoff_ns = now_ns;
	for (size_t t = 0; t < core->registry.count; t++) {
		const struct target *target = core->registry.targets[t];

		for (size_t e = 0; target->mapped && e < target->guest.map.count; e++) {
			struct extent *extent = &target->guest.map.extents[e];

			/* Memory first: what it costs is not asked. */
			if (target->policy.hugepages == HUGEPAGES_FOLD) {
				extent->payoff = (struct payoff){ .breaks = extent->breaks };
				continue;
			}
			lapsed = payoff_look(extent, draft_least(target->policy.hugepages, extent), kept) ||
				lapsed;
		}
	}
	return lapsed;
}

static int pass_full(struct core *core, const struct full_pass *full, struct publication *publication)
{
	uint64_t cost_ns = full->cost_ns;
	int error = full->error;

	rest_end(core);
	sentences_clear(&core->blocked_by);
	if (!error && !core->paused && !interrupt_raised(core->interrupt))
		error = stages_fold(core, publication);
	stage_account(core, &cost_ns);
	forecast_judge(core);
	if (!error && !core->paused && !interrupt_raised(core->interrupt))
		rest_begin(core, full->started_ns, full->bursts_before, cost_ns);
	return error;
}

int pass_run(struct core *core, publish_fn publish, void *arg)
{
	struct publication publication = { core, publish, arg };
	struct full_pass full = {
		.started_ns = clock_monotonic_ns(), .bursts_before = core->bursts
	};
	struct ledger_stretch stretch;
	bool news = false, rests = false;
	int error;

	error = stage_discover(core, &news);
	stretch = ledger_begin(core);
	if (!error) {
		rests = rest_is_allowed(core);
		error = rests ? stage_map_moved(core)
			      : stages_look(core, news, &publication, &full.cost_ns);
	}
	if (!error && !core->paused)
		error = visit_due(core);
	if (!error && rests && !rest_goes_on(core)) {
		rests = false;
		error = stages_look(core, news, &publication, &full.cost_ns);
	}
	/* What was held back, and is not any more, needs a plan. */
	if (rests && restraint_look(core))
		rest_end(core);
	full.error = error;
	if (!rests)
		error = pass_full(core, &full, &publication);
	if (payoffs_look(core))
		rest_end(core);
	ledger_end_for_all(core, stretch);
	record_losses(core);
	core->pass_number++;
	core->pass_ns = clock_monotonic_ns() - full.started_ns;
	canary_sample(&core->canary, &core->root);
	publish_now(&publication);
	return error;
}

int pass_account_only(struct core *core, publish_fn publish, void *arg)
{
	struct publication publication = { core, publish, arg };
	uint64_t cost_ns;
	const int error = stage_map(core, false, &cost_ns);

	account_targets(core);
	rest_end(core); /* what the command changed may need a plan */
	publish_now(&publication);
	return error;
}
