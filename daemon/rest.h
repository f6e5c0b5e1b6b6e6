/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a pass may rest on what the one before found: nobody came or went, and nothing was
 * folded. Such a pass maps those whose footprint says that they moved and draws up their books,
 * reads what is due, and ends. It goes on to the plan when what it read asks for one, and in any
 * case when so much time has passed since the last one that it costs next to nothing.
 */
#ifndef PAGEFOLD_DAEMON_REST_H
#define PAGEFOLD_DAEMON_REST_H

#include <stdbool.h>
#include <stdint.h>

struct core;
struct target;

struct rest {
	uint64_t full_ns; /* when the last full pass began; 0: the next one must be full */
	uint64_t cost_ns; /* CPU time of what a resting pass leaves out */
};

/* A full pass that began then has come to its end. Where something was folded in it the next one is
 * full, too. */
void rest_begin(struct core *core, uint64_t started_ns, uint64_t bursts_before, uint64_t cost_ns);
/* The next pass must be full. */
void rest_end(struct core *core);

/* At the beginning of a pass, when it is known who is there. */
bool rest_is_allowed(const struct core *core);
/* Of one target: it was not touched, and hardly moved. */
bool rest_holds(const struct core *core, const struct target *target);
/* While somebody boots passes follow each other fast, for its sake: of one target, whether such a pass can do
 * with what another one saw of it a moment ago. */
bool rest_spares(const struct core *core, const struct target *target, uint64_t now_ns);
/* After the visits: what they found needs no plan either. */
bool rest_goes_on(const struct core *core);

#endif
