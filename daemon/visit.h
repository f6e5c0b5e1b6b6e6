/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The scan stage: which extents are due, and reading them within the budgets. */
#ifndef PAGEFOLD_DAEMON_VISIT_H
#define PAGEFOLD_DAEMON_VISIT_H

#include <stdint.h>

#include "daemon/core.h"

/* Reads every extent that is due. 0 also when interrupted: the rest stays due. -ENOMEM. */
int visit_due(struct core *core);

/* After the plan: extents it wants to see again are due after settle-seconds. */
void visit_schedule(struct core *core, const struct plan *plan);

/* From the start of one pass to the start of the next: scan-interval, or less where somebody young
 * is to be folded. */
uint64_t visit_interval_ns(const struct core *core);

/* CLOCK_MONOTONIC time of the next visit that a fold waits for; UINT64_MAX: none. */
uint64_t visit_awaited_ns(const struct core *core);

#endif
