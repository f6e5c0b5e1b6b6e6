/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gives an extent its private pages back, and its huge page where it had one: bit by bit, so that
 * no page fault of the target waits longer for it than the stall budget allows.
 */
#ifndef PAGEFOLD_DAEMON_UNFOLD_H
#define PAGEFOLD_DAEMON_UNFOLD_H

#include "daemon/core.h"

/* How many pages a request may be for: learnt from what the ones before it took. */
struct unfold_pace {
	uint64_t budget_ns;
	uint64_t pages;
};

struct unfold_pace unfold_pace_begin(const struct core *core);

/* Whether its huge page is to be built anew, which also backs what was a hole or a zero page in it.
 */
bool unfold_rebuilds(
	const struct core *core, const struct target *target, const struct extent *extent);

/*
 * 0: nothing of the extent is folded or marked any more in the kernel (extent itself is not
 * touched, but for huge_lost). -ENOMEM and what else UNMERGEABLE says: some of it is still folded,
 * and it is still marked. A failed rebuild only leaves the extent in small pages: khugepaged may
 * get to it. What means_advise() says: no hook any more.
 */
int unfold_extent(
	struct core *core, struct target *target, struct extent *extent, struct unfold_pace *pace);

#endif
