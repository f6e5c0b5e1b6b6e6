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
	size_t count;
	atomic_size_t next;
	atomic_bool enough;
};

struct hand {
	struct shift *shift;
	struct scanner *scanner;
	pthread_t thread;
};

static void *hand_work(void *arg)
{
	const struct hand *hand = arg;
	struct shift *shift = hand->shift;
	size_t first;

	hand->scanner->clock_ns = clock_thread_cpu_ns();
	while ((first = atomic_fetch_add(&shift->next, SHARE)) < shift->count)
		for (size_t i = first; i < first + SHARE && i < shift->count; i++) {
			if (atomic_load_explicit(&shift->enough, memory_order_relaxed))
				return NULL;
			if (!shift->work(shift->context, hand->scanner, i))
				atomic_store(&shift->enough, true);
		}
	return NULL;
}

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
		*hand = (struct hand){ .shift = shift, .scanner = &crew->scanners[hired] };
		if (pthread_create(&hand->thread, NULL, hand_work, hand))
			break;
	}
	return hired;
}

void crew_run(struct crew *crew, unsigned threads, size_t count, crew_work_fn work, void *context)
{
	struct shift shift = { .work = work, .context = context, .count = count };
	const size_t useful = count / PIECES_LEAST + 1;
	struct hand hands[CREW_MOST];
	unsigned hired;

	if (threads > CREW_MOST)
		threads = CREW_MOST;
	hired = hands_hire(crew, &shift, hands, useful < threads ? (unsigned)useful : threads);
	(void)hand_work(&hands[0]);
	for (unsigned i = 1; i < hired; i++)
		(void)pthread_join(hands[i].thread, NULL);
}
