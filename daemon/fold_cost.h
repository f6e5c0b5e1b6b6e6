/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What folding has cost a VM in write faults and waiting, since this daemon knows it: the books,
 * and arithmetic on them. Breaks are counted by account.c and burst_cost.c, priced by the canary.
 */
#ifndef PAGEFOLD_DAEMON_FOLD_COST_H
#define PAGEFOLD_DAEMON_FOLD_COST_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/breaks.h"

struct fold_cost {
	struct break_counts broken; /* seen page by page */
	uint64_t hidden; /* estimated: broken and folded again, or folded and broken, within a burst
			  */
	uint64_t priced; /* how many of all these are in stall_ns */
	uint64_t stall_ns; /* what those took their writers */
	uint64_t delay_ns; /* what bursts and requests may have kept it waiting besides */
	uint64_t longest_ns; /* one of the requests, at most: of several at a time, their average */
	uint64_t requests; /* that unfolded its memory or rebuilt huge pages: those that hold it up
			    */
};

/* Seen and hidden. */
uint64_t fold_cost_breaks(const struct fold_cost *cost);

/* What broke since the last call took its writer so long, each. */
void fold_cost_price(struct fold_cost *cost, uint64_t break_ns);

/* Takes the books of one that is gone over into those of all who are. */
void fold_cost_add(struct fold_cost *sum, const struct fold_cost *cost);

/* All waiting, in seconds. False: something broke that has no price yet. */
bool fold_cost_stall_seconds(const struct fold_cost *cost, double *ret_seconds);

/*
 * How long faults waited for ksmd: each meets ksmd at work in the same memory with the probability
 * of `share` (of the time), and then waits for the page under way, page_ns at the most.
 */
uint64_t fold_cost_burst_ns(uint64_t faults, double share, double page_ns);

#endif
