/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps what the daemon itself computes within cpu-percent of one core. */
#ifndef PAGEFOLD_DAEMON_THROTTLE_H
#define PAGEFOLD_DAEMON_THROTTLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/interrupt.h"

struct throttle {
	unsigned cpu_percent;
	uint64_t wall_start_ns, cpu_start_ns;
	pthread_mutex_t sleeper; /* one sleeps for all: what wakes the interrupt wakes one sleeper only */
};

/* From here on counts. */
void throttle_start(struct throttle *throttle, unsigned cpu_percent);
/* Call between small steps, from any of the threads that compute: sleeps while the process is ahead of its
 * budget. True: interrupted. */
bool throttle_pace(struct throttle *throttle, struct interrupt *interrupt);

#endif
