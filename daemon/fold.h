/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Carries out a plan: marks extents, un-marks what did not fold. Everything is in the state record
 * before it is done.
 */
#ifndef PAGEFOLD_DAEMON_FOLD_H
#define PAGEFOLD_DAEMON_FOLD_H

#include <stdint.h>

#include "daemon/core.h"

/*
 * Marks the extents of the plan's PLAN_FOLD entries: MADV_MERGEABLE, and MADV_NOHUGEPAGE so that
 * khugepaged does not undo the folds. A target that cannot be attached to, or refuses, is skipped and says
 * why. *ret_marked: extents marked (again). 0, or -errno where the record could not be written: then
 * nothing was marked.
 */
int fold_apply(struct core *core, const struct plan *plan, uint64_t *ret_marked);

/*
 * After a burst: looks which pages of the target's marked extents are folded, un-marks whole extents
 * in which nothing is, and runs of at least min_run unfolded pages in the others, as far as the VMA
 * budget goes. fresh_only: only extents marked since their last trim. Frees nothing, needs no memory. 0 or
 * -errno.
 */
int fold_trim(struct core *core, struct target *target, unsigned min_run, bool fresh_only);

/* After a burst, of a fresh extent: what keeps its promise is tried again as soon as there is more; what does
 * not, ever less often. */
void fold_judge(struct extent *extent, uint64_t pass);

/* The request that brings an extent's huge-page advice back to what it was. False: nothing to do. */
bool fold_advice_undo(const struct core *core, const struct extent *extent,
	struct advice_request *ret);

#endif
