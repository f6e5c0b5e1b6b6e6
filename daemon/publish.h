/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The publish stage: what the pass thread knows, as one immutable snapshot. */
#ifndef PAGEFOLD_DAEMON_PUBLISH_H
#define PAGEFOLD_DAEMON_PUBLISH_H

#include "daemon/core.h"
#include "daemon/snapshot.h"

/* The caller owns the one reference; NULL: no memory. */
struct snapshot *publish_snapshot(struct core *core);

#endif
