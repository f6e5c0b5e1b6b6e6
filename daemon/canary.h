/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the break of a fold takes, measured on pages of the daemon's own: pairs of equal pages,
 * which a burst folds along with the rest, and of which a few are written in every pass, the clock
 * in hand.
 *
 * The contents are random, so that no page of a guest is like them and no guest can make one: a
 * pair shares with itself only, whatever trust group is active. Nothing but these pages is
 * mergeable in the daemon, no knob is turned for them, and they go when the daemon goes. Belongs to
 * the pass thread.
 */
#ifndef PAGEFOLD_DAEMON_CANARY_H
#define PAGEFOLD_DAEMON_CANARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hypervisor-glue/host_root.h"

/* The last so many measurements count. */
#define CANARY_SAMPLES 1024

struct canary {
	unsigned char *memory; /* NULL: nothing was to be folded yet */
	unsigned next, left;   /* the page to be written next; so many may be folded */
	uint32_t ns[CANARY_SAMPLES];
	uint64_t taken; /* measurements, ever */
};

/* Before a burst: has the pages folded in it. They are made the first time. Without memory, or KSM,
 * there is no canary. */
void canary_offer(struct canary *canary);

/* Writes a few of the folded pages, if any are left, and notes what each write took. What it writes
 * is what was there: the next burst folds the page again. */
void canary_sample(struct canary *canary, const struct host_root *root);

/* What so many per cent of the breaks did not exceed. False: none was measured. */
bool canary_percentile_ns(const struct canary *canary, unsigned percent, uint64_t *ret_ns);

void canary_done(struct canary *canary);

#endif
