/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that others have marked mergeable: un-marked, or from now on ours.
 */
#ifndef PAGEFOLD_DAEMON_TAKEOVER_H
#define PAGEFOLD_DAEMON_TAKEOVER_H

#include "daemon/core.h"
#include "daemon/foreign.h"

/*
 * For each VM of the active set: un-marks what is mergeable without being ours (QEMU marks all of
 * its RAM) and holds no KSM page, and adopts as ours the extents that do. Needs no memory. Marks
 * nothing. *ret_found: there was something to clean; it may be left.
 */
int takeover_clean_active(struct core *core, bool *ret_found);

/*
 * take-over = yes: un-marks a stranger's memory: ranges without KSM pages at once, ranges with them
 * only where the memory to copy them back is there. Through QEMU's monitor where little is folded,
 * else through the ring; what the one cannot do the other finishes. 0, or -errno with a sentence in
 * *ret_reason (the caller frees it).
 */
int takeover_stranger(struct core *core, const struct stranger *stranger, char **ret_reason);

#endif
