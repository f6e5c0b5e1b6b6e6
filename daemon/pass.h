/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One pass of the pipeline: discover, map, scan, index, plan, apply, account, publish. */
#ifndef PAGEFOLD_DAEMON_PASS_H
#define PAGEFOLD_DAEMON_PASS_H

#include "daemon/core.h"
#include "daemon/snapshot.h"

/* Takes over one reference of each snapshot. */
typedef void (*publish_fn)(void *arg, struct snapshot *snapshot);

/*
 * While paused nothing is read and nothing is folded: the books go on. 0 or -errno: the pass could not be
 * made (no memory, no /proc); nothing is lost, the next one starts anew.
 */
int pass_run(struct core *core, publish_fn publish, void *arg);

/* Only the last two stages: brings the books up to date after a command, and publishes. */
int pass_account_only(struct core *core, publish_fn publish, void *arg);

#endif
