/* SPDX-License-Identifier: GPL-2.0-or-later */
/* KSM's knobs for the length of a burst: what they were is owed back, and on disk before the first one is touched. */
#ifndef PAGEFOLD_DAEMON_BURST_KNOBS_H
#define PAGEFOLD_DAEMON_BURST_KNOBS_H

#include <stdint.h>

#include "daemon/core.h"

/* A first visit costs 0.5-1 us, a merge 8 us; what a wake of ksmd may take is the stall budget. */
#define BURST_NS_PER_PAGE 2000

/* How often a burst that has a limit is looked at. */
#define BURST_LIMITED_WATCH_MS 25
#define BURST_NO_LIMIT         INT64_MAX

/* Starts ksmd. limit_pages: the burst is to stop when it has brought so many; or BURST_NO_LIMIT. 0 or -errno: then
 * the knobs are as they were. */
int burst_knobs_take(struct core *core, int64_t limit_pages);
/* Stops it. 0, or -errno where the record of what is owed could not be written. */
int burst_knobs_give_back(struct core *core);

#endif
