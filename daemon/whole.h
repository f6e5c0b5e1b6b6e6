/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that can only be advised as a whole (merge_hook_ops.whole): it is marked or it is not, nothing is
 * trimmed, and all of it is released at once.
 */
#ifndef PAGEFOLD_DAEMON_WHOLE_H
#define PAGEFOLD_DAEMON_WHOLE_H

#include "daemon/core.h"

/* QEMU needs up to 32 us a page: a second for 128 MiB, and nobody notices a tenth of it. */
#define WHOLE_WARN_BYTES (UINT64_C(16) << 20)

/* Says in the log what is about to happen to QEMU's main loop, where it is to be felt. */
void whole_warn(const struct target *target, uint64_t need_bytes);

/* One advice for all that the target's extents cover, carried out: one request for each, in the map's order,
 * in memory the caller frees. 0, -ENOMEM or as means_advise(). */
int whole_advise(struct core *core, struct target *target, enum advice advice,
	struct advice_request **ret_requests);

/* Un-marks everything, and copies back what is folded. 0 or -errno; then what is still marked says so. */
int whole_unmark(struct core *core, struct target *target);

/* After a burst: judges what became of the promises; where nothing at all is folded, the marks go. */
int whole_trim(struct core *core, struct target *target);

#endif
