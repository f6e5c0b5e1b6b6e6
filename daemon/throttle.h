/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps what the daemon itself computes within cpu-percent of one core. */
#ifndef PAGEFOLD_DAEMON_THROTTLE_H
#define PAGEFOLD_DAEMON_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/interrupt.h"

struct throttle {
	unsigned cpu_percent;
	uint64_t wall_start_ns, cpu_start_ns;
};

/* From here on counts. */
void throttle_start(struct throttle *throttle, unsigned cpu_percent);
/* Call between small steps: sleeps while the process is ahead of its budget. True: interrupted. */
bool throttle_pace(const struct throttle *throttle, struct interrupt *interrupt);

#endif
