// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/throttle.h"

#include "common/clock.h"

/* Sleeps shorter than this cost more in wake-ups than they even out. */
#define SLACK_NS (10 * NS_PER_MS)

void throttle_start(struct throttle *throttle, unsigned cpu_percent)
{
	*throttle = (struct throttle){
		.cpu_percent = cpu_percent,
		.wall_start_ns = clock_monotonic_ns(),
		.cpu_start_ns = clock_process_cpu_ns(),
	};
}

bool throttle_pace(const struct throttle *throttle, struct interrupt *interrupt)
{
	const uint64_t cpu_ns = clock_process_cpu_ns() - throttle->cpu_start_ns;
	const uint64_t earned_at_ns =
		throttle->wall_start_ns + cpu_ns * 100 / throttle->cpu_percent;

	if (clock_monotonic_ns() + SLACK_NS >= earned_at_ns)
		return interrupt_raised(interrupt);
	return interrupt_sleep_until(interrupt, earned_at_ns);
}
