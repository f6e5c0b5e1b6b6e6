/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scanning threads: as many as the CPU budget can feed. They exist while there is something to
 * read; in between the pass thread is alone.
 */
#ifndef PAGEFOLD_DAEMON_CREW_H
#define PAGEFOLD_DAEMON_CREW_H

#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>

#include "daemon/scan.h"

/* More threads than this wait for each other's memory bandwidth. */
#define CREW_MOST 16

struct crew {
	struct scanner scanners[CREW_MOST];
	unsigned count; /* of scanners that are there: at least one */
};

/* With one scanner. 0 or -ENOMEM. */
int crew_init(struct crew *crew);
void crew_done(struct crew *crew);

/* One for each core's worth of the budget that has begun, on so many CPUs. */
unsigned crew_size(unsigned cpu_percent, unsigned cpus);
/* CPUs that this process may run on. */
unsigned crew_cpus(void);

/*
 * Does piece `index` of the work with the thread's own scanner. Runs in several threads at once,
 * and must leave alone what another piece may touch. False: enough, also for the others.
 */
typedef bool (*crew_work_fn)(void *context, struct scanner *scanner, size_t index);

/* Pieces first .. first + count - 1, and the CPUs that their memory is near to; NULL: any. */
struct crew_lot {
	size_t first, count;
	const cpu_set_t *cpus;
	atomic_size_t taken; /* the crew's; 0 at first */
};

/*
 * Does the pieces of all lots with up to `threads` threads, the calling one among them, and returns when
 * all of them are done with it. Each thread begins with another lot, and goes over to the next where
 * nothing is left; on the way it moves to the lot's CPUs, as far as this process may run there. The
 * calling one is back where it was afterwards.
 */
void crew_run_lots(struct crew *crew, unsigned threads, struct crew_lot *lots, size_t lot_count,
	crew_work_fn work, void *context);

/* Does pieces 0 .. count - 1 with up to `threads` threads, the calling one among them, and returns
 * when all of them are done with it. Where a thread or its buffer is not to be had, the others do
 * its part. */
void crew_run(struct crew *crew, unsigned threads, size_t count, crew_work_fn work, void *context);

#endif
