// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/crew.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "tests/unit/child.h"
#include "tests/unit/reserved_memory.h"

#define PIECES 1000u

struct work {
	unsigned char
		done[PIECES]; /* each written by one thread: the thread sanitizer would see two */
	atomic_uint calls, stop_at;
	struct scanner *users[CREW_MOST];
	atomic_uint user_count;
	pthread_mutex_t lock;
};

static void user_note(struct work *work, struct scanner *scanner)
{
	pthread_mutex_lock(&work->lock);
	for (unsigned i = 0; i < work->user_count; i++)
		if (work->users[i] == scanner)
			goto known;
	work->users[work->user_count++] = scanner;
known:
	pthread_mutex_unlock(&work->lock);
}

static bool work_do(void *context, struct scanner *scanner, size_t index)
{
	struct work *work = context;

	work->done[index]++;
	scanner->pages_read++;
	user_note(work, scanner);
	return atomic_fetch_add(&work->calls, 1) + 1 < work->stop_at;
}

static void test_crew_does_each_piece_once(void **state)
{
	static const unsigned threads[] = { 1, 2, 4, CREW_MOST, CREW_MOST + 5 };

	(void)state;
	for (unsigned t = 0; t < 5; t++) {
		struct work work = { .stop_at = UINT32_MAX, .lock = PTHREAD_MUTEX_INITIALIZER };
		uint64_t pages = 0;
		struct crew crew;

		assert_int_equal(crew_init(&crew), 0);
		crew_run(&crew, threads[t], PIECES, work_do, &work);
		for (unsigned i = 0; i < PIECES; i++)
			assert_int_equal(work.done[i], 1);
		for (unsigned i = 0; i < crew.count; i++)
			pages += crew.scanners[i].pages_read;
		assert_int_equal(pages, PIECES);
		assert_true(work.user_count <= threads[t]);
		crew_done(&crew);
	}
}

static void test_crew_of_one_is_enough_for_little(void **state)
{
	struct work work = { .stop_at = UINT32_MAX, .lock = PTHREAD_MUTEX_INITIALIZER };
	struct crew crew;

	(void)state;
	assert_int_equal(crew_init(&crew), 0);
	crew_run(&crew, 8, 0, work_do, &work);
	assert_int_equal(work.calls, 0);
	crew_run(&crew, 8, 5, work_do, &work);
	assert_int_equal(work.calls, 5);
	assert_int_equal(crew.count, 1);
	crew_done(&crew);
}

static void test_crew_stops_when_one_has_had_enough(void **state)
{
	struct work work = { .stop_at = 50, .lock = PTHREAD_MUTEX_INITIALIZER };
	struct crew crew;

	(void)state;
	assert_int_equal(crew_init(&crew), 0);
	crew_run(&crew, 4, PIECES, work_do, &work);
	assert_in_range(work.calls, 50, 50 + 4);
	crew_done(&crew);
}

/* ---- lots ---- */

#define LOTS       3u
#define LOT_PIECES (PIECES / LOTS)

struct placed {
	struct work work;
	cpu_set_t on[PIECES]; /* the CPUs the thread could run on */
};

static bool placed_do(void *context, struct scanner *scanner, size_t index)
{
	struct placed *placed = context;

	(void)sched_getaffinity(0, sizeof(cpu_set_t), &placed->on[index]);
	return work_do(&placed->work, scanner, index);
}

static void lots_run(unsigned threads, const cpu_set_t *const cpus[LOTS], struct placed *placed)
{
	struct crew_lot lots[LOTS];
	struct crew crew;

	for (unsigned i = 0; i < LOTS; i++)
		lots[i] = (struct crew_lot){ i * LOT_PIECES, LOT_PIECES, cpus[i], 0 };
	*placed = (struct placed){
		.work = { .stop_at = UINT32_MAX, .lock = PTHREAD_MUTEX_INITIALIZER }
	};
	assert_int_equal(crew_init(&crew), 0);
	crew_run_lots(&crew, threads, lots, LOTS, placed_do, placed);
	for (unsigned i = 0; i < LOTS * LOT_PIECES; i++)
		assert_int_equal(placed->work.done[i], 1);
	crew_done(&crew);
}

/* The first and the last CPU there is, which are the same one where there is one. */
static void cpus_choose(const cpu_set_t *allowed, cpu_set_t *first, cpu_set_t *last)
{
	CPU_ZERO(first);
	CPU_ZERO(last);
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, allowed))
			continue;
		if (!CPU_COUNT(first))
			CPU_SET(cpu, first);
		CPU_ZERO(last);
		CPU_SET(cpu, last);
	}
}

static void test_crew_goes_where_the_memory_is(void **state)
{
	static const unsigned threads[] = { 1, 2, 5 };
	cpu_set_t allowed, first, last, nowhere, after;
	const cpu_set_t *const cpus[LOTS] = { &first, &last, &first };
	const cpu_set_t *const forbidden[LOTS] = { &nowhere, NULL, &nowhere };
	struct placed *placed = calloc(1, sizeof(*placed));

	(void)state;
	assert_non_null(placed);
	assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	cpus_choose(&allowed, &first, &last);
	CPU_ZERO(&nowhere);
	for (unsigned t = 0; t < 3; t++) {
		lots_run(threads[t], cpus, placed);
		for (unsigned i = 0; i < LOTS * LOT_PIECES; i++)
			assert_true(CPU_EQUAL(&placed->on[i], cpus[i / LOT_PIECES]));
		assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
		assert_true(CPU_EQUAL(&after, &allowed));
		/* Nowhere to go: it is done all the same. */
		lots_run(threads[t], forbidden, placed);
		for (unsigned i = 0; i < LOTS * LOT_PIECES; i++)
			assert_true(CPU_EQUAL(&placed->on[i], &allowed));
	}
	free(placed);
}

static void test_crew_is_as_large_as_the_budget_and_the_machine(void **state)
{
	static const struct {
		unsigned percent, cpus, size;
	} cases[] = {
		{ 10, 8, 1 },
		{ 100, 8, 1 },
		{ 101, 8, 2 },
		{ 200, 8, 2 },
		{ 200, 1, 1 },
		{ 1000, 4, 4 },
		{ 1000, 64, 10 },
		{ 10, 0, 1 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(crew_size(cases[i].percent, cases[i].cpus), cases[i].size);
	assert_true(crew_cpus() >= 1);
}

/* ---- reading in several threads ---- */

#define EXTENTS 64

static void child_memory(void *argument, char step)
{
	char *memory;

	if (step)
		return;
	memory = reserved_map(argument, 0, EXTENTS * RESERVED_EXTENT, MADV_HUGEPAGE);
	for (unsigned page = 0; page < EXTENTS * EXTENT_PAGES; page++)
		memcpy(memory + page * RESERVED_PAGE, &page, sizeof(page));
}

struct reading {
	struct scan_source source;
	struct extent extents[EXTENTS];
};

static bool extent_read(void *context, struct scanner *scanner, size_t index)
{
	struct reading *reading = context;
	struct extent *extent = &reading->extents[index];

	return (extent->visits ? scan_extent_again(scanner, &reading->source, extent)
			       : scan_extent(scanner, &reading->source, extent)) == 0;
}

static void assert_all_read(const struct reading *reading)
{
	static const char zeros[RESERVED_PAGE];
	char page[RESERVED_PAGE];

	for (unsigned i = 0; i < EXTENTS; i++) {
		const struct extent *extent = &reading->extents[i];

		assert_non_null(extent->prints);
		for (unsigned p = 0; p < EXTENT_PAGES; p++) {
			const unsigned number = i * EXTENT_PAGES + p;

			memcpy(page, zeros, sizeof(page));
			memcpy(page, &number, sizeof(number));
			assert_true(extent_prints_holds(extent->prints, p, page, 0));
		}
	}
}

static void test_crew_reads_one_process_in_several_threads(void **state)
{
	struct reserved_memory memory;
	struct reading *reading = calloc(1, sizeof(*reading));
	struct process process;
	struct pagemap pagemap;
	struct host_root root;
	struct child child;
	struct crew crew;

	(void)state;
	(void)alarm(60);
	assert_int_equal(host_root_open("", &root), 0);
	reserved_memory_init(&memory, EXTENTS * RESERVED_EXTENT);
	child_start(&child, child_memory, &memory);
	assert_int_equal(process_open(&root, child.pid, &process), 0);
	assert_int_equal(pagemap_open(&root, child.pid, true, &pagemap), 0);
	assert_int_equal(crew_init(&crew), 0);
	reading->source = (struct scan_source){ &root, &process, &pagemap, TRUST_HUGE, false, false };
	for (unsigned i = 0; i < EXTENTS; i++) {
		reading->extents[i].start = reserved_address(&memory, i * RESERVED_EXTENT);
		reading->extents[i].end = reading->extents[i].start + EXTENT_BYTES;
	}
	for (int round = 0; round < 2; round++) {
		crew_run(&crew, 4, EXTENTS, extent_read, reading);
		assert_all_read(reading);
	}
	for (unsigned i = 0; i < EXTENTS; i++) {
		assert_int_equal(reading->extents[i].visits, 2);
		assert_int_equal(reading->extents[i].changed, 0);
		extent_prints_free(reading->extents[i].prints);
	}
	free(reading);
	crew_done(&crew);
	pagemap_done(&pagemap);
	process_done(&process);
	child_stop(&child);
	reserved_memory_done(&memory);
	host_root_done(&root);
	(void)alarm(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crew_does_each_piece_once),
		cmocka_unit_test(test_crew_of_one_is_enough_for_little),
		cmocka_unit_test(test_crew_stops_when_one_has_had_enough),
		cmocka_unit_test(test_crew_goes_where_the_memory_is),
		cmocka_unit_test(test_crew_is_as_large_as_the_budget_and_the_machine),
		cmocka_unit_test(test_crew_reads_one_process_in_several_threads),
	};

	return cmocka_run_group_tests_name("crew", tests, NULL, NULL);
}
