// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/crew.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "common/clock.h"

/* Neighbouring extents go to one thread, a few at a time: taking them costs nothing then, and at
 * the end no thread waits for another for longer than a millisecond. */
#define SHARE 4

/* Less than 32 MiB for each is read before a second thread has begun. */
#define PIECES_LEAST 16

int crew_init(struct crew *crew)
{
	const int error = scanner_init(&crew->scanners[0]);

	crew->count = error ? 0 : 1;
	return error;
}

void crew_done(struct crew *crew)
{
	while (crew->count)
		scanner_done(&crew->scanners[--crew->count]);
}

unsigned crew_size(unsigned cpu_percent, unsigned cpus)
{
	const unsigned cores = (cpu_percent + 99) / 100;
	const unsigned size = cores < cpus ? cores : cpus;

	return size > CREW_MOST ? CREW_MOST : size ? size : 1;
}

unsigned crew_cpus(void)
{
	cpu_set_t cpus;

	/* More CPUs than the set has room for: more than a crew can use. */
	return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus)
							      : CREW_MOST;
}

struct shift {
	crew_work_fn work;
	void *context;
	struct crew_lot *lots;
	size_t lot_count;
	cpu_set_t allowed; /* to this process, by whoever started it */
	atomic_bool enough;
};

struct hand {
	struct shift *shift;
	struct scanner *scanner;
	size_t first_lot;
	pthread_t thread;
};

/* ---- one thread ---- */

/* Where those CPUs are not its own, or there are more than the set has room for, it stays where it is:
 * that is slower, and no more. */
static void hand_move(const struct shift *shift, const cpu_set_t *cpus)
{
	cpu_set_t both;

	if (!cpus)
		return;
	CPU_AND(&both, cpus, &shift->allowed);
	if (CPU_COUNT(&both))
		(void)sched_setaffinity(0, sizeof(both), &both);
}

/* False: enough of everything. */
static bool lot_work(const struct hand *hand, struct crew_lot *lot)
{
	struct shift *shift = hand->shift;
	size_t at;

	while ((at = atomic_fetch_add(&lot->taken, SHARE)) < lot->count)
		for (size_t i = at; i < at + SHARE && i < lot->count; i++) {
			if (atomic_load_explicit(&shift->enough, memory_order_relaxed))
				return false;
			if (!shift->work(shift->context, hand->scanner, lot->first + i))
				atomic_store(&shift->enough, true);
		}
	return true;
}

static void *hand_work(void *arg)
{
	const struct hand *hand = arg;
	const struct shift *shift = hand->shift;

	hand->scanner->clock_ns = clock_thread_cpu_ns();
	for (size_t i = 0; i < shift->lot_count; i++) {
		struct crew_lot *lot = &shift->lots[(hand->first_lot + i) % shift->lot_count];

		if (atomic_load(&lot->taken) >= lot->count)
			continue;
		hand_move(shift, lot->cpus);
		if (!lot_work(hand, lot))
			break;
	}
	return NULL;
}

/* ---- all of them ---- */

static unsigned hands_hire(
	struct crew *crew, struct shift *shift, struct hand *hands, unsigned wanted)
{
	unsigned hired = 1;

	hands[0] = (struct hand){ .shift = shift, .scanner = &crew->scanners[0] };
	for (; hired < wanted; hired++) {
		struct hand *hand = &hands[hired];

		if (hired == crew->count) {
			if (scanner_init(&crew->scanners[hired]) < 0)
				break;
			crew->count++;
		}
		*hand = (struct hand){
			.shift = shift,
			.scanner = &crew->scanners[hired],
			.first_lot = hired,
		};
		if (pthread_create(&hand->thread, NULL, hand_work, hand))
			break;
	}
	return hired;
}

static bool is_anyone_moved(const struct crew_lot *lots, size_t lot_count)
{
	for (size_t i = 0; i < lot_count; i++)
		if (lots[i].cpus)
			return true;
	return false;
}

void crew_run_lots(struct crew *crew, unsigned threads, struct crew_lot *lots, size_t lot_count,
	crew_work_fn work, void *context)
{
	struct shift shift = {
		.work = work, .context = context, .lots = lots, .lot_count = lot_count
	};
	struct hand hands[CREW_MOST];
	size_t useful = 1;
	bool moves;
	unsigned hired;

	for (size_t i = 0; i < lot_count; i++)
		useful += lots[i].count / PIECES_LEAST;
	if (threads > CREW_MOST)
		threads = CREW_MOST;
	moves = is_anyone_moved(lots, lot_count) &&
		sched_getaffinity(0, sizeof(shift.allowed), &shift.allowed) == 0;
	hired = hands_hire(crew, &shift, hands, useful < threads ? (unsigned)useful : threads);
	(void)hand_work(&hands[0]);
	for (unsigned i = 1; i < hired; i++)
		(void)pthread_join(hands[i].thread, NULL);
	if (moves) /* the others have ended */
		(void)sched_setaffinity(0, sizeof(shift.allowed), &shift.allowed);
}

void crew_run(struct crew *crew, unsigned threads, size_t count, crew_work_fn work, void *context)
{
	struct crew_lot all = { .count = count };

	crew_run_lots(crew, threads, &all, 1, work, context);
}
