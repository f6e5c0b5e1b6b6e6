// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/budget.h"

#include "common/clock.h"

/* A tenth of the five minutes over which the setting is to hold. */
#define KEPT_NS (30 * NS_PER_S)

/* Sleeps shorter than this cost more in wake-ups than they even out. */
#define SLACK_NS (10 * NS_PER_MS)

static int64_t most_ns(unsigned cpu_percent)
{
	return (int64_t)(KEPT_NS * cpu_percent / 100);
}

void budget_init(struct budget *budget, unsigned cpu_percent)
{
	*budget = (struct budget){
		.cpu_percent = cpu_percent,
		.balance_ns = most_ns(cpu_percent),
		.wall_ns = clock_monotonic_ns(),
		.cpu_ns = clock_process_cpu_ns(),
	};
	pthread_mutex_init(&budget->lock, NULL);
	pthread_mutex_init(&budget->sleeper, NULL);
}

void budget_done(struct budget *budget)
{
	pthread_mutex_destroy(&budget->lock);
	pthread_mutex_destroy(&budget->sleeper);
}

/* Under the lock. */
static void balance_draw_up(struct budget *budget)
{
	const uint64_t wall_ns = clock_monotonic_ns(), cpu_ns = clock_process_cpu_ns();

	/* Earned in microseconds: a week without a look at 1000 % is still far from an overflow. */
	budget->balance_ns +=
		(int64_t)((wall_ns - budget->wall_ns) / NS_PER_US * budget->cpu_percent * 10);
	budget->balance_ns -= (int64_t)(cpu_ns - budget->cpu_ns);
	if (budget->balance_ns > most_ns(budget->cpu_percent))
		budget->balance_ns = most_ns(budget->cpu_percent);
	budget->wall_ns += (wall_ns - budget->wall_ns) / NS_PER_US * NS_PER_US;
	budget->cpu_ns = cpu_ns;
}

void budget_set_percent(struct budget *budget, unsigned cpu_percent)
{
	pthread_mutex_lock(&budget->lock);
	balance_draw_up(budget);
	budget->cpu_percent = cpu_percent;
	pthread_mutex_unlock(&budget->lock);
}

void budget_charge(struct budget *budget, uint64_t cpu_ns)
{
	pthread_mutex_lock(&budget->lock);
	balance_draw_up(budget);
	budget->balance_ns -= (int64_t)cpu_ns;
	pthread_mutex_unlock(&budget->lock);
}

uint64_t budget_paid_ns(struct budget *budget)
{
	uint64_t paid_ns = 0;

	pthread_mutex_lock(&budget->lock);
	balance_draw_up(budget);
	if (budget->balance_ns < 0)
		paid_ns = budget->wall_ns +
			  (uint64_t)-budget->balance_ns / budget->cpu_percent * 100 + 1;
	pthread_mutex_unlock(&budget->lock);
	return paid_ns;
}

bool budget_may_spend(struct budget *budget)
{
	return budget_paid_ns(budget) == 0;
}

bool budget_pace(struct budget *budget, struct interrupt *interrupt)
{
	uint64_t paid_ns = budget_paid_ns(budget);
	bool interrupted = interrupt_raised(interrupt);

	if (interrupted || clock_monotonic_ns() + SLACK_NS >= paid_ns)
		return interrupted;
	pthread_mutex_lock(&budget->sleeper);
	paid_ns = budget_paid_ns(budget); /* who waited for the sleeper has slept already */
	if (clock_monotonic_ns() < paid_ns)
		interrupted = interrupt_sleep_until(interrupt, paid_ns);
	pthread_mutex_unlock(&budget->sleeper);
	return interrupted || interrupt_raised(interrupt);
}
