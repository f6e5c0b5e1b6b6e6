/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The index stage: counts twins within each trust group, and finds out which group folds. */
#ifndef PAGEFOLD_DAEMON_CENSUS_H
#define PAGEFOLD_DAEMON_CENSUS_H

#include "daemon/core.h"

/* Whether what was counted last still holds, or holds well enough. */
bool census_is_due(const struct core *core);

/*
 * Counts all VMs of each group that are read (targets' sums and extents' twins), chooses the active group,
 * and counts its folding members again among themselves: they are what a plan can work with.
 * 0 or -ENOMEM.
 */
int census_take(struct core *core);

#endif
