/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cpu-percent: an account of CPU time that fills at that rate. What this process computes is taken
 * from it by itself; what others compute for us (ksmd in a burst, the rings' threads) is charged.
 * Whoever is about to do some work of ours looks at it first.
 *
 * Unused time is kept, but no more than half a minute's worth: within any five minutes the account
 * cannot give more than a tenth above the setting. A debt has no limit, and is paid off before
 * anything else is done.
 *
 * Thread-safe.
 */
#ifndef PAGEFOLD_DAEMON_BUDGET_H
#define PAGEFOLD_DAEMON_BUDGET_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/interrupt.h"

struct budget {
	pthread_mutex_t lock; /* for all below */
	pthread_mutex_t
		sleeper; /* one sleeps for all: what wakes the interrupt wakes one sleeper only */
	unsigned cpu_percent;     /* of one core */
	int64_t balance_ns;       /* CPU time that may be spent; negative: a debt */
	uint64_t wall_ns, cpu_ns; /* up to when it is drawn up */
};

/* With half a minute's worth in it: who has just been started is waited for. */
void budget_init(struct budget *budget, unsigned cpu_percent);
void budget_done(struct budget *budget);
/* What was earned and spent so far stays. */
void budget_set_percent(struct budget *budget, unsigned cpu_percent);

/* CPU time that somebody else has spent on our behalf. */
void budget_charge(struct budget *budget, uint64_t cpu_ns);
/* No debt. */
bool budget_may_spend(struct budget *budget);
/* CLOCK_MONOTONIC: when a debt is paid off if nothing more is spent; 0: there is none. */
uint64_t budget_paid_ns(struct budget *budget);

/* Call between small steps: sleeps while there is a debt. True: interrupted. */
bool budget_pace(struct budget *budget, struct interrupt *interrupt);

#endif
