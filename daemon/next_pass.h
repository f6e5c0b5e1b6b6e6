/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the next pass is due, and whether --once has anything left to do. */
#ifndef PAGEFOLD_DAEMON_NEXT_PASS_H
#define PAGEFOLD_DAEMON_NEXT_PASS_H

#include <stdint.h>

#include "daemon/core.h"

/* CLOCK_MONOTONIC time at which the pass after one that began at pass_started_ns is due, once what that
 * one cost is paid off. */
uint64_t next_pass_ns(struct core *core, uint64_t pass_started_ns);

/* --once, after a pass before which reclaimed_before bytes had come back: why it ends, NULL where another
 * pass is worth while. The text is the core's. */
const char *next_pass_none(const struct core *core, int64_t reclaimed_before);

#endif
