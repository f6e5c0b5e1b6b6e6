// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/fold_cost.h"

#include "common/clock.h"

uint64_t fold_cost_breaks(const struct fold_cost *cost)
{
	return cost->broken.ksm + cost->broken.zero + cost->hidden;
}

void fold_cost_price(struct fold_cost *cost, uint64_t break_ns)
{
	const uint64_t breaks = fold_cost_breaks(cost);

	cost->stall_ns += (breaks - cost->priced) * break_ns;
	cost->priced = breaks;
}

void fold_cost_add(struct fold_cost *sum, const struct fold_cost *cost)
{
	break_counts_add(&sum->broken, &cost->broken);
	sum->hidden += cost->hidden;
	sum->priced += cost->priced;
	sum->stall_ns += cost->stall_ns;
	sum->delay_ns += cost->delay_ns;
	sum->requests += cost->requests;
	if (cost->longest_ns > sum->longest_ns)
		sum->longest_ns = cost->longest_ns;
}

bool fold_cost_stall_seconds(const struct fold_cost *cost, double *ret_seconds)
{
	if (cost->priced != fold_cost_breaks(cost))
		return false;
	*ret_seconds = (double)(cost->stall_ns + cost->delay_ns) / (double)NS_PER_S;
	return true;
}

uint64_t fold_cost_burst_ns(uint64_t faults, double share, double page_ns)
{
	const double bounded = share < 0 ? 0 : share > 1 ? 1 : share;

	return (uint64_t)((double)faults * bounded * page_ns);
}
