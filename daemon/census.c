// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/census.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "daemon/electorate.h"
#include "daemon/groups.h"
#include "hashing/twin_index.h"

/* Another group must promise a quarter more before it takes the active group's place. */
#define HYSTERESIS_PERCENT 125

static void results_take(struct target *target, const struct twin_owner *owner)
{
	target->sums = owner->ret_sums;
	target->saveable_bytes = twin_sums_saveable_bytes(&owner->ret_sums);
	for (size_t e = 0; e < owner->extent_count; e++)
		target->guest.map.extents[e].twins = owner->ret_extents[e].twins;
}

/* Asks for what every extent has, and takes it. */
static int electorate_count(struct electorate *electorate, uint64_t *ret_saveable_bytes)
{
	const struct twin_index_options options = { 0 };
	const size_t count = electorate->count;
	_cleanup_free_ struct twin_extent *extents = NULL;
	struct twin_sums total;
	size_t at = 0;
	int error;

	for (size_t i = 0; i < count; i++)
		at += electorate->owners[i].extent_count;
	extents = calloc(at + 1, sizeof(*extents));
	if (!extents)
		return -ENOMEM;
	at = 0;
	for (size_t i = 0; i < count; i++) {
		electorate->owners[i].ret_extents = extents + at;
		at += electorate->owners[i].extent_count;
	}
	error = twin_index_count(electorate->owners, count, &options, &total);
	if (error)
		return error;
	for (size_t i = 0; i < count; i++)
		results_take(electorate->targets[i], &electorate->owners[i]);
	if (ret_saveable_bytes)
		*ret_saveable_bytes = twin_sums_saveable_bytes(&total);
	return 0;
}

static int group_count(
	struct core *core, const char *group, bool folding_only, uint64_t *ret_saveable_bytes)
{
	_cleanup_(electorate_done) struct electorate electorate = { 0 };
	const int error = electorate_init(&electorate, core, group, folding_only);

	return error ? error : electorate_count(&electorate, ret_saveable_bytes);
}

/* Whether those of the group that fold are all that were counted for it. */
static bool group_folds_whole(const struct core *core, const char *group)
{
	for (size_t i = 0; i < core->registry.count; i++)
		if (electorate_includes(core->registry.targets[i], group, false) &&
			!electorate_includes(core->registry.targets[i], group, true))
			return false;
	return true;
}

/* Among those that fold, once all of the group have been counted: mostly that is the same count. */
static int group_count_folding(struct core *core, const char *group, uint64_t *ret_saveable_bytes)
{
	uint64_t bytes = 0;

	if (!group_folds_whole(core, group))
		return group_count(core, group, true, ret_saveable_bytes);
	for (size_t i = 0; i < core->registry.count; i++)
		if (electorate_includes(core->registry.targets[i], group, true))
			bytes += core->registry.targets[i]->saveable_bytes;
	*ret_saveable_bytes = bytes;
	return 0;
}

static int group_saveable(struct core *core, const char *group, uint64_t *ret_bytes)
{
	*ret_bytes = 0;
	return group_wants_folds(core, group) ? group_count_folding(core, group, ret_bytes) : 0;
}

/* active-group = auto: the group that saves most. A group with folds keeps its place as long as one of its
 * VMs is asked for. */
static int group_choose(struct core *core)
{
	uint64_t best = 0, current = 0;
	const char *winner = NULL;
	int error = 0;

	if (group_has_marks(core, core->active_group) &&
		group_is_asked_for(core, core->active_group))
		return 0;
	if (core->active_group[0])
		error = group_saveable(core, core->active_group, &current);
	for (size_t i = 0; !error && i < core->registry.count; i++) {
		const char *group = core->registry.targets[i]->policy.group;
		uint64_t bytes;

		if (!is_group_leader(core, i) || !group_wants_folds(core, group))
			continue;
		error = group_saveable(core, group, &bytes);
		if (!error && (!winner || bytes > best)) {
			best = bytes;
			winner = group;
		}
	}
	if (!error && winner &&
		(!group_wants_folds(core, core->active_group) ||
			best * 100 > current * HYSTERESIS_PERCENT))
		group_switch(core, winner);
	return error;
}

static uint64_t known_pages(const struct core *core)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < core->registry.count; i++)
		pages += core->registry.targets[i]->sums.pages;
	return pages;
}

bool census_is_due(const struct core *core)
{
	if (core->index_stale)
		return true;
	/* With --once there may be no later pass to leave it to. */
	if (core->once)
		return core->recount.pending_pages > 0;
	return recount_is_due(
		&core->recount, known_pages(core), core->booting, clock_monotonic_ns());
}

int census_take(struct core *core)
{
	const uint64_t started_ns = clock_monotonic_ns();
	uint64_t saveable_bytes;
	int error = 0;

	for (size_t i = 0; !error && i < core->registry.count; i++) {
		const char *group = core->registry.targets[i]->policy.group;

		if (is_group_leader(core, i))
			error = group_count(core, group, false, NULL);
	}
	if (error)
		return error;
	if (!core->config.active_group[0])
		error = group_choose(core);
	if (!error && core->active_group[0])
		error = group_count_folding(core, core->active_group, &saveable_bytes);
	if (!error) {
		const uint64_t now_ns = clock_monotonic_ns();

		core->index_stale = false;
		/* A pass that counts cannot rest: what resting leaves out is part of the price. */
		recount_done(&core->recount, now_ns - started_ns + core->rest.cost_ns, now_ns);
	}
	return error;
}
