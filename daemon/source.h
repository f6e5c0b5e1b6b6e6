/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a target's memory is read. */
#ifndef PAGEFOLD_DAEMON_SOURCE_H
#define PAGEFOLD_DAEMON_SOURCE_H

#include "daemon/core.h"
#include "daemon/scan.h"

/* As of this moment: a burst ends it. */
enum view_trust source_trust(const struct core *core, const struct target *target);
/* Lasts as long as both. */
struct scan_source source_of(const struct core *core, struct target *target, enum view_trust trust);

/* Whether KSM keeps NUMA nodes apart. If that has changed, no fingerprint is of use any more, and all are
 * forgotten; nothing is folded then, or KSM would not have let it be changed. */
void source_nodes_judge(struct core *core);

#endif
