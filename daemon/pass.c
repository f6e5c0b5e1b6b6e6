// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/pass.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/account.h"
#include "daemon/apply.h"
#include "daemon/arrival.h"
#include "daemon/census.h"
#include "daemon/groups.h"
#include "daemon/heirs.h"
#include "daemon/log.h"
#include "daemon/means.h"
#include "daemon/pid_rules.h"
#include "daemon/publish.h"
#include "daemon/visit.h"
#include "hypervisor-glue/host_memory.h"

/* A VMM needs VMAs of its own (threads, devices, hot-plug): a quarter of vm.max_map_count is left to it. */
#define VMA_RESERVE_DIVISOR 4

static void driver_look(struct core *core)
{
	const bool owed = core->driver.owes;

	driver_survey(&core->driver, &core->root, core->config.ksm_owner);
	if (owed && !core->driver.owes && core_record(core) < 0)
		log_warning("KSM's knobs are as they were, but the record still says that they are owed");
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
	core->index_stale = core->index_stale || *ret_news;
	driver_look(core);
	if (thp_mode_read(&core->root, &core->thp_mode) < 0)
		core->thp_mode = THP_NEVER; /* compiled out */
	return error;
}

static void target_map(struct core *core, struct target *target, uint64_t max_map_count)
{
	const uint64_t usable = max_map_count - max_map_count / VMA_RESERVE_DIVISOR;
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
	target_check_marks(target);
	core->registry.lost_marks = core->registry.lost_marks || target_marks(target) < marks;
	target->vma_room = target->guest.smaps.count < usable ? usable - target->guest.smaps.count : 0;
}

static int stage_map(struct core *core)
{
	uint64_t max_map_count;
	const int error = max_map_count_read(&core->root, &max_map_count);

	for (size_t i = 0; !error && i < core->registry.count; i++)
		target_map(core, core->registry.targets[i], max_map_count);
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
	for (size_t i = 0; i < count; i++) {
		struct target *target = core->registry.targets[i];

		target->planned_whole = means_is_whole(core, target);
		vms[i] = (struct plan_vm){
			.name = target_name(target),
			.pid = target_pid(target),
			.map = &target->guest.map,
			.hugepages = target->policy.hugepages,
			.fold = target_wants_folds(target, core->active_group) &&
				!means_refused(core, target),
			.release = must_release(core, target),
			.whole = target->planned_whole,
			.vma_room = target->vma_room,
		};
	}
	error = plan_make(vms, count, core->pass_number, &plan);
	if (error)
		return error;
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

int pass_run(struct core *core, publish_fn publish, void *arg)
{
	struct publication publication = { core, publish, arg };
	bool news = false;
	int error;

	error = stage_discover(core, &news);
	if (!error)
		error = stage_map(core);
	if (!error)
		error = heirs_adopt(core);
	if (!error)
		audit_take(core); /* of the last burst: who may be strange is known anew now */
	/* Reading may take long: who is there, and with which policy, is known now. */
	if (!error && news) {
		account_targets(core);
		publish_now(&publication);
	}
	if (!error && !core->paused)
		error = visit_due(core);
	sentences_clear(&core->blocked_by);
	if (!error && !core->paused && !interrupt_raised(core->interrupt)) {
		groups_follow_config(core);
		if (core->index_stale)
			error = census_take(core);
		if (!error)
			error = stage_plan(core);
		if (!error)
			error = apply_plan(core, publish_burst, &publication);
	}
	account_targets(core);
	record_losses(core);
	core->pass_number++;
	publish_now(&publication);
	return error;
}

int pass_account_only(struct core *core, publish_fn publish, void *arg)
{
	struct publication publication = { core, publish, arg };
	const int error = stage_map(core);

	account_targets(core);
	publish_now(&publication);
	return error;
}
