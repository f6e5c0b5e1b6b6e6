// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/forecast.h"

#include <math.h>

#include "daemon/account.h"
#include "daemon/core.h"

/* The books before a burst are those of this pass's look at the address spaces. */
void forecast_begin(struct core *core)
{
	account_targets_looked_at(core);
	core->forecast.expected_bytes = (int64_t)(core->plan.saved_pages * PAGE_BYTES);
	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];

		target->forecast.open = target->mapped;
		target->forecast.before_bytes = target->reclaimed_bytes;
		target->forecast.expected_bytes =
			llround(plan_expected_pages(&core->plan, target_pid(target)) *
				(double)PAGE_BYTES);
	}
}

static void forecast_add(struct forecast *forecast, int64_t delivered_bytes)
{
	forecast->predicted_bytes += forecast->expected_bytes;
	forecast->delivered_bytes += delivered_bytes;
	forecast->judged = true;
	forecast->expected_bytes = 0;
}

void forecast_judge(struct core *core)
{
	int64_t delivered = 0;
	bool any = false;

	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];
		struct forecast *forecast = &target->forecast;
		const int64_t gained = target->reclaimed_bytes - forecast->before_bytes;

		if (!forecast->open)
			continue;
		forecast->open = false;
		if (!target->mapped) {
			core->forecast.expected_bytes -= forecast->expected_bytes;
			continue;
		}
		/* Whoever was folded before shares more frames now: that came by the burst, too. */
		delivered += gained;
		any = true;
		if (forecast->expected_bytes > 0)
			forecast_add(forecast, gained);
	}
	if (any)
		forecast_add(&core->forecast, delivered);
}

void forecast_drop(struct core *core)
{
	for (size_t i = 0; i < core->registry.count; i++)
		core->registry.targets[i]->forecast.open = false;
}
