/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose account CPU time is put to: what scanning threads, ksmd, rings and helpers took is charged
 * to the VM that they took it for. What a pass does for all of them together (counting twins,
 * planning, watching a burst) is divided by resident pages. What is left is the daemon's own:
 * looking for newcomers, the API, libvirt's events.
 *
 * The books begin with the daemon, at zero. Belongs to the pass thread.
 */
#ifndef PAGEFOLD_DAEMON_LEDGER_H
#define PAGEFOLD_DAEMON_LEDGER_H

#include <stddef.h>
#include <stdint.h>

struct core;
struct target;

/* Of one target, nanoseconds. */
struct ledger {
	uint64_t daemon_ns; /* of the daemon's own threads */
	uint64_t ksmd_ns;
	uint64_t hook_ns; /* of rings and helpers that were let go of; the one at hand counts for
			     itself */
	uint64_t burst_from_bytes; /* proportional share at the beginning of a burst */
};

/* A stretch of the pass thread's work. What is charged to anybody inside of it is not charged again
 * at its end, so stretches may lie in each other. */
struct ledger_stretch {
	uint64_t begun_ns, charged_ns;
};

struct ledger_stretch ledger_begin(const struct core *core);
/* It was all for that one. */
void ledger_end_for(struct core *core, struct ledger_stretch stretch, struct target *target);
/* It was for everybody who is read: by their resident pages. Nobody there: it stays the daemon's
 * own. */
void ledger_end_for_all(struct core *core, struct ledger_stretch stretch);

/* So long a visit took, in whichever thread. The pass thread's part of a round is told afterwards.
 */
void ledger_visit(struct target *target, uint64_t cpu_ns);
void ledger_visits_here(struct core *core, uint64_t cpu_ns);

/* Around ksmd's work, once burst_pss_bytes says where it begins, and before anything is trimmed:
 * what it took is divided by the pages that it went over and by what it folded. */
void ledger_burst_begins(struct core *core);
void ledger_burst_ended(struct core *core, uint64_t scans, uint64_t ksmd_ns);

/* All that was charged to it, its hook included. */
uint64_t ledger_of(const struct target *target);

/* Divides ns by weight; the shares add up to ns, or are all 0 where there is no weight. weights and
 * ret_shares may be the same array. */
void ledger_divide(uint64_t ns, const uint64_t *weights, size_t count, uint64_t *ret_shares);

#endif
