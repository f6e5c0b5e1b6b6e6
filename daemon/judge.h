/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Verdicts on the VMs and on the host, and what follows from them: a VM that costs more than it
 * gives for long is released and left alone for a while, before it is tried again. Pass thread.
 */
#ifndef PAGEFOLD_DAEMON_JUDGE_H
#define PAGEFOLD_DAEMON_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/verdict.h"

struct core;
struct snapshot;
struct target;

/* Of one target. All 0: nothing is known yet. */
struct judgement {
	struct verdict_costs costs;
	struct verdict verdict;
	uint64_t costly_since_ns; /* CLOCK_MONOTONIC; 0: it does not cost more than it gives */
	uint64_t rests_until_ns;  /* released for that, and left alone until then; 0: not */
	uint8_t rests;            /* how often that was so already */
};

/* Judges anew by the numbers of the snapshot, which gets the verdicts. The VMs in it are the
 * registry's, in their order. */
void judge_fill(struct core *core, struct snapshot *snapshot, uint64_t now_ns);

/* Who is to rest from now on, and for whom it is over. */
void judge_decide(struct core *core, uint64_t now_ns);

/* It is neither read nor folded for now, and what is folded is to be released. */
static inline bool judgement_rests(const struct judgement *judgement)
{
	return judgement->rests_until_ns != 0;
}

/* So many are left, rounded up. */
uint64_t judge_rest_minutes(const struct judgement *judgement, uint64_t now_ns);

#endif
