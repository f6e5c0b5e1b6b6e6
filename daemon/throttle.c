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
		.sleeper = PTHREAD_MUTEX_INITIALIZER,
	};
}

static uint64_t earned_at_ns(const struct throttle *throttle)
{
	const uint64_t cpu_ns = clock_process_cpu_ns() - throttle->cpu_start_ns;

	return throttle->wall_start_ns + cpu_ns * 100 / throttle->cpu_percent;
}

bool throttle_pace(struct throttle *throttle, struct interrupt *interrupt)
{
	uint64_t until_ns = earned_at_ns(throttle);
	bool interrupted = interrupt_raised(interrupt);

	if (interrupted || clock_monotonic_ns() + SLACK_NS >= until_ns)
		return interrupted;
	pthread_mutex_lock(&throttle->sleeper);
	until_ns = earned_at_ns(throttle); /* who waited for the sleeper has slept already */
	if (clock_monotonic_ns() < until_ns)
		interrupted = interrupt_sleep_until(interrupt, until_ns);
	pthread_mutex_unlock(&throttle->sleeper);
	return interrupted || interrupt_raised(interrupt);
}
