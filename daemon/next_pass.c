// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/next_pass.h"

#include "common/clock.h"
#include "daemon/glimpse.h"
#include "daemon/visit.h"

/* --once gives up hoping after so many passes, and calls less than this share no progress. */
#define ONCE_PASSES_MOST      20
#define ONCE_PROGRESS_DIVISOR 100

/* --once looks again so much later where libvirt has not answered. */
#define LIBVIRT_PATIENCE_NS (1 * NS_PER_S)

/* libvirt has not said yet what may be done with one of its domains. */
static bool policies_awaited(const struct core *core)
{
	for (size_t i = 0; i < core->registry.count; i++)
		if (core->registry.targets[i]->policy_unknown)
			return true;
	return false;
}

static uint64_t wanted_ns(const struct core *core, uint64_t pass_started_ns)
{
	const uint64_t regular_ns = pass_started_ns + visit_interval_ns(core);
	const uint64_t awaited_ns = core->paused ? UINT64_MAX : visit_awaited_ns(core);

	if (!core->once)
		return awaited_ns < regular_ns ? awaited_ns : regular_ns;
	if (awaited_ns != UINT64_MAX)
		return awaited_ns;
	return policies_awaited(core) ? pass_started_ns + LIBVIRT_PATIENCE_NS : 0;
}

uint64_t next_pass_ns(struct core *core, uint64_t pass_started_ns)
{
	const uint64_t next_ns = wanted_ns(core, pass_started_ns);
	const uint64_t paid_ns = budget_paid_ns(&core->budget);

	/* No stranger stays in shared frames until a burst is paid off. */
	if (core->audit.at_once)
		return pass_started_ns;
	return next_ns > paid_ns ? next_ns : paid_ns;
}

const char *next_pass_none(const struct core *core, int64_t reclaimed_before)
{
	const int64_t now = registry_reclaimed_bytes(&core->registry);

	if (core->pass_number >= ONCE_PASSES_MOST)
		return "stopped";
	if (core->pass_number > 1 && core->blocked_by.count)
		return core->blocked_by.texts[0];
	if (core->pass_number > 1 && core->restraint.reason)
		return core->restraint.reason;
	if (core->audit.at_once || (core->plan.fold_pages && !core->batched_since_ns) || policies_awaited(core) ||
		visit_awaited_ns(core) != UINT64_MAX || glimpses_are_owed(core))
		return NULL;
	return now - reclaimed_before <= now / ONCE_PROGRESS_DIVISOR ? "nothing more to fold" : NULL;
}
