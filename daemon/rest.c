// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/rest.h"

#include "common/clock.h"
#include "daemon/batch.h"
#include "daemon/census.h"
#include "daemon/core.h"
#include "daemon/groups.h"
#include "daemon/means.h"

/* A full pass after 10,000 times its own CPU time: 0.01 % of a core; after 200 times while something
 * waits to be folded (and not for more to be folded with), or a group for another one to be released. */
#define COST_FACTOR         10000
#define COST_FACTOR_WAITING 200

/* A look at 1.5 GiB takes ten milliseconds, which nobody is to pay each second for a neighbour that boots. */
#define SPARED_NS (10 * NS_PER_S)

/* Of what is resident: the books are off by less than half a percent. */
#define MOVED_DIVISOR 256

void rest_begin(struct core *core, uint64_t started_ns, uint64_t bursts_before, uint64_t cost_ns)
{
	core->rest.full_ns = core->bursts == bursts_before ? started_ns : 0;
	core->rest.cost_ns = cost_ns;
}

void rest_end(struct core *core)
{
	core->rest.full_ns = 0;
}

bool rest_holds(const struct core *core, const struct target *target)
{
	struct footprint now;
	uint64_t moved;

	if (target->policy.mode == MODE_OFF && !target_has_marks(target))
		return true;
	if (!target->mapped || target->guest.advised || target->policy_unknown ||
		footprint_read(&core->root, target_pid(target), &now) < 0)
		return false;
	moved = footprint_moved(&target->guest.footprint, &now);
	return moved != FOOTPRINT_NEW_LAYOUT && moved <= now.resident_pages / MOVED_DIVISOR;
}

bool rest_spares(const struct core *core, const struct target *target, uint64_t now_ns)
{
	return core->hurried && !core->once && target->guest.is_vm && target->mapped &&
	       !target->young && !target->policy_is_new &&
	       target->looked_bursts == core->bursts &&
	       now_ns - target->looked_ns < SPARED_NS && rest_holds(core, target);
}

bool rest_is_allowed(const struct core *core)
{
	const bool waits = (core->plan.fold_pages && !batch_waits(core)) || groups_switch_awaits(core);
	const uint64_t factor = waits ? COST_FACTOR_WAITING : COST_FACTOR;
	const uint64_t full_due_ns = core->rest.full_ns + core->rest.cost_ns * factor;

	return core->rest.full_ns && !core->once && !core->paused && !core->index_stale &&
	       !restraint_lifts(core) && !means_were_missed(core) && !core->audit.due && !core->audit.at_once &&
	       clock_monotonic_ns() < full_due_ns;
}

bool rest_goes_on(const struct core *core)
{
	return !core->settled && !census_is_due(core);
}
