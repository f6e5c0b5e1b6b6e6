/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When an extent is to be read again. Pure: the clock is the caller's. */
#ifndef PAGEFOLD_DAEMON_SCHEDULE_H
#define PAGEFOLD_DAEMON_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/extent.h"

/* What the times depend on. */
struct schedule {
	uint64_t interval_ns; /* scan-interval */
	uint64_t settle_ns;   /* settle-seconds */
	bool under_pressure;  /* the host is short of memory: what may fold is looked for sooner */
};

/* A process is young for so long after its start: it boots, and what it will keep is only just
 * being written. */
#define SCHEDULE_YOUNG_NS (UINT64_C(120) * 1000000000)
/* How often a young one is looked at, where scan-interval is no less. */
#define SCHEDULE_YOUNG_INTERVAL_NS (UINT64_C(2000) * 1000000)

/* What a look at a young one shows. */
struct schedule_look {
	uint64_t resident_pages;
	uint64_t cpu_ns;   /* of the process, ever */
	uint64_t taken_ns; /* CLOCK_MONOTONIC; 0: there was none */
};

/*
 * It grows, or computes more than half of the time; or there was no look before. A young one that does is not read
 * in its first minute: most of what it holds now it will have overwritten by the time it is ready, and to fold the
 * memory of who runs takes ksmd twice the CPU time, because each page has to be taken from the other CPUs' TLBs.
 */
#define SCHEDULE_BUSY_NS (UINT64_C(60) * 1000000000)
bool schedule_is_busy(const struct schedule_look *before, const struct schedule_look *now);

/* Of a target that is young, or not. */
uint64_t schedule_interval_ns(const struct schedule *schedule, bool young);
/* From the first visit of a promising extent to the second. ksmd takes checksums of its own before
 * it folds: a young target's extents need not wait for settle-seconds on top. */
uint64_t schedule_settle_ns(const struct schedule *schedule, bool young);

/*
 * From a visit to the next. What has not changed is read again after 2, 4, 8 and then every 16
 * intervals; what changes from visit to visit cannot fold and is left alone for as long; what
 * changed once, after one. Under pressure after two intervals at the most. What has been read once
 * is seen again after one where the target is young.
 */
uint64_t schedule_rest_ns(const struct schedule *schedule, const struct extent *extent, bool young);

#endif
