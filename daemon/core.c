// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/core.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/log.h"
#include "hypervisor-glue/host_memory.h"

void sentences_add(struct sentences *sentences, const char *format, ...)
{
	char **texts = reallocarray(sentences->texts, sentences->count + 2, sizeof(char *));
	va_list arguments;

	if (!texts)
		return;
	sentences->texts = texts;
	va_start(arguments, format);
	if (vasprintf(&texts[sentences->count], format, arguments) >= 0)
		sentences->count++;
	va_end(arguments);
	texts[sentences->count] = NULL;
}

void sentences_clear(struct sentences *sentences)
{
	for (size_t i = 0; i < sentences->count; i++)
		free(sentences->texts[i]);
	free(sentences->texts);
	*sentences = (struct sentences){ 0 };
}

/* The record borrows the extents' map counts: it must not be freed by state_done(). */
static size_t marks_collect(const struct target *target, struct state_extent *out)
{
	size_t count = 0;

	for (size_t i = 0; i < target->guest.map.count; i++) {
		const struct extent *extent = &target->guest.map.extents[i];

		if (!extent->marked)
			continue;
		if (out)
			out[count] = (struct state_extent){
				.start = extent->start,
				.end = extent->end,
				.advice = extent->advice,
				.zero_before = extent->zero_before,
				.was_huge = extent->was_huge,
				.shared_before = extent->shared_before,
			};
		count++;
	}
	return count;
}

/* Recorded by an earlier daemon, still running, and not (yet) among our targets: stays recorded. */
static bool is_unadopted(const struct core *core, const struct state_target *recorded)
{
	const struct target *target = registry_find(&core->registry, recorded->id.pid);
	struct process_stat stat;

	if (target && process_id_equal(target->guest.process.id, recorded->id))
		return false;
	return process_stat_read(&core->root, recorded->id.pid, &stat) == 0 &&
		stat.start_ticks == recorded->id.start_ticks;
}

int core_record(const struct core *core)
{
	const size_t target_count = core->registry.count;
	_cleanup_free_ struct state_target *targets =
		calloc(target_count + core->recorded.target_count + 1, sizeof(*targets));
	_cleanup_free_ struct state_extent *extents = NULL;
	struct state state = {
		.paused = core->paused,
		.have_knobs = core->driver.owes,
		.knobs = core->driver.owed,
		.targets = targets,
	};
	size_t total = 0;

	for (size_t i = 0; i < target_count; i++)
		total += marks_collect(core->registry.targets[i], NULL);
	extents = calloc(total + 1, sizeof(*extents));
	if (!targets || !extents)
		return -ENOMEM;
	memcpy(state.boot_id, core->recorded.boot_id, sizeof(state.boot_id));
	memcpy(state.active_group, core->active_group, sizeof(state.active_group));
	total = 0;
	for (size_t i = 0; i < target_count; i++) {
		const struct target *target = core->registry.targets[i];
		const size_t marks = marks_collect(target, extents + total);

		if (!marks && !target->held)
			continue;
		targets[state.target_count++] = (struct state_target){
			.id = target->guest.process.id,
			.held = target->held,
			.inherited = target->inherited,
			.marked_since_ticks = target->marked_since_ticks,
			.held_policy = target->held_policy,
			.extents = extents + total,
			.extent_count = marks,
		};
		total += marks;
	}
	for (size_t i = 0; i < core->recorded.target_count; i++)
		if (is_unadopted(core, &core->recorded.targets[i]))
			targets[state.target_count++] = core->recorded.targets[i];
	return state_save(core->state_dir, &state);
}

/* A daemon killed in a burst left ksmd running with our settings. */
static void knobs_recover(struct core *core)
{
	int error;

	if (!core->recorded.have_knobs)
		return;
	core->driver.owes = true;
	core->driver.owed = core->recorded.knobs;
	/* Where that fails nobody is known, and only ksmd's own state tells of another driver. */
	(void)process_table_refresh(&core->root, clock_monotonic_ns(), &core->registry.processes);
	driver_survey(&core->driver, &core->root, &core->registry.processes, core->config.ksm_owner);
	if (core->driver.owes && core->driver.lock_fd < 0) {
		log_warning("KSM's knobs are not as they were before an earlier run, and cannot be "
			    "restored: %s", core->driver.reason);
		return;
	}
	error = driver_restore(&core->driver, &core->root, false);
	if (!error)
		error = core_record(core);
	if (error)
		log_error("KSM's knobs could not be restored after an unclean end: %s",
			strerror(-error));
	else
		log_notice("KSM's knobs restored after an unclean end");
}

int core_open(struct core *core, const bool disabled[FEATURE_COUNT])
{
	char boot_id[BOOT_ID_BYTES];
	int error;

	(void)clock_gettime(CLOCK_REALTIME, &core->since);
	core->opened_ns = clock_monotonic_ns();
	driver_init(&core->driver);
	budget_init(&core->budget, core->config.cpu_percent);
	error = host_root_open("", &core->root);
	if (error)
		return error;
	error = boot_id_read(&core->root, boot_id);
	if (numa_nodes_read(&core->root, &core->nodes) < 0)
		log_warning("the host's NUMA nodes cannot be told apart; memory is read from any CPU");
	if (!error)
		error = state_load(core->state_dir, boot_id, &core->recorded);
	if (!error)
		error = crew_init(&core->crew);
	if (error) {
		core_close(core);
		return error;
	}
	core->paused = core->recorded.paused;
	core->index_stale = true;
	/* An earlier daemon may have been killed in a burst, or before it had audited one. */
	core->audit.due = core->recorded.target_count > 0;
	memcpy(core->active_group, core->recorded.active_group, sizeof(core->active_group));
	features_probe(&core->root, disabled, &core->features);
	knobs_recover(core);
	return 0;
}

static void knobs_restore_finally(struct core *core)
{
	int error;

	if (!core->driver.owes)
		return;
	error = driver_restore(&core->driver, &core->root, false);
	if (!error)
		error = core_record(core);
	if (error)
		log_error("KSM's knobs could not be restored: %s", strerror(-error));
}

void core_close(struct core *core)
{
	knobs_restore_finally(core);
	registry_done(&core->registry);
	driver_done(&core->driver);
	crew_done(&core->crew);
	numa_nodes_done(&core->nodes);
	newcomers_done(&core->newcomers);
	budget_done(&core->budget);
	state_done(&core->recorded);
	plan_done(&core->plan);
	audit_done(&core->audit);
	restraint_done(&core->restraint);
	canary_done(&core->canary);
	sentences_clear(&core->blocked_by);
	sentences_clear(&core->warnings);
	sentences_clear(&core->findings);
	config_done(&core->config);
	policy_set_done(&core->policies);
	host_root_done(&core->root);
}
