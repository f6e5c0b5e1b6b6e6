// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/batch.h"

#include "common/clock.h"
#include "daemon/core.h"

/*
 * A scan of ksmd costs 0.4 us for each page that is folded already, a new fold some 10 us. Once what is
 * planned is at least this share of what is marked, the old marks cost less than half of what the new folds
 * do; less than that waits for more, but for no longer than some times scan-interval. What is next to nothing, a
 * smaller share yet, waits as many times longer as it is less: four idle guests always had 16 to 35 such pages to
 * fold. With --once there is no later: it is left then.
 */
#define SHARE_DIVISOR         64
#define NOTHING_SHARE_DIVISOR 512
#define INTERVALS_MOST        10

static uint64_t marked_pages(const struct core *core)
{
	uint64_t extents = 0;

	for (size_t i = 0; i < core->registry.count; i++)
		extents += core->registry.targets[i]->marked_extents;
	return extents * EXTENT_PAGES;
}

static bool is_enough(const struct core *core)
{
	return core->plan.fold_pages >=
		marked_pages(core) / (core->once ? NOTHING_SHARE_DIVISOR : SHARE_DIVISOR);
}

static bool is_over(const struct core *core)
{
	const double interval_ns = (double)core->config.scan_interval_s * (double)NS_PER_S;
	const double nothing = (double)marked_pages(core) / NOTHING_SHARE_DIVISOR;
	const double planned = (double)core->plan.fold_pages;
	const double times = planned < nothing ? nothing / planned : 1.0;

	return (double)(clock_monotonic_ns() - core->batched_since_ns) >= INTERVALS_MOST * interval_ns * times;
}

bool batch_waits(const struct core *core)
{
	return core->plan.fold_pages && core->batched_since_ns && !is_enough(core) && !is_over(core);
}

bool batch_is_worth_a_burst(struct core *core)
{
	if (!core->plan.fold_pages || is_enough(core) || (core->batched_since_ns && is_over(core))) {
		core->batched_since_ns = 0;
		return core->plan.fold_pages;
	}
	if (!core->batched_since_ns)
		core->batched_since_ns = clock_monotonic_ns();
	return false;
}
