/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The apply stage: releases what is to be private again, and, where nothing stands in the way, marks and
 * bursts. */
#ifndef PAGEFOLD_DAEMON_APPLY_H
#define PAGEFOLD_DAEMON_APPLY_H

#include "daemon/core.h"

/* before_burst is called once, when marks are set and ksmd is about to start: a moment to publish. 0 or
 * -errno; what went wrong with one target is that target's trouble. */
int apply_plan(struct core *core, void (*before_burst)(void *arg), void *arg);

/* Who stands in the way of folding, as sentences in core->blocked_by; clears the way as far as take-over
 * allows. True: nobody, and there is something to fold for. */
bool apply_way_is_clear(struct core *core);

#endif
