// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/schedule.h"

/* 2^5 intervals: sixteen minutes as shipped. */
#define BACKOFF_MOST          5u
#define BACKOFF_MOST_PRESSURE 1u

/* In the two seconds from one look to the next: a guest that has booted grows by less. */
#define GROWTH_DIVISOR 32
/* Of the time of one CPU. */
#define BUSY_DIVISOR 2

bool schedule_is_busy(const struct schedule_look *before, const struct schedule_look *now)
{
	return !before->taken_ns ||
	       now->resident_pages > before->resident_pages + before->resident_pages / GROWTH_DIVISOR ||
	       now->cpu_ns - before->cpu_ns > (now->taken_ns - before->taken_ns) / BUSY_DIVISOR;
}

static uint64_t lesser(uint64_t one, uint64_t other)
{
	return one < other ? one : other;
}

uint64_t schedule_interval_ns(const struct schedule *schedule, bool young)
{
	return young ? lesser(schedule->interval_ns, SCHEDULE_YOUNG_INTERVAL_NS)
		     : schedule->interval_ns;
}

uint64_t schedule_settle_ns(const struct schedule *schedule, bool young)
{
	return young ? lesser(schedule->settle_ns, SCHEDULE_YOUNG_INTERVAL_NS)
		     : schedule->settle_ns;
}

uint64_t schedule_rest_ns(const struct schedule *schedule, const struct extent *extent, bool young)
{
	const unsigned most = schedule->under_pressure ? BACKOFF_MOST_PRESSURE : BACKOFF_MOST;
	const unsigned steady = extent->restless              ? extent->restless - 1u
				: young && extent->visits < 2 ? 0
							      : extent->quiet;

	return schedule_interval_ns(schedule, young) << (steady < most ? steady : most);
}
