/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pass thread at work on a made host with one VM, whose memory is a child's. */
#ifndef PAGEFOLD_TESTS_WORKER_WORLD_H
#define PAGEFOLD_TESTS_WORKER_WORLD_H

#include <errno.h>
#include <poll.h>

#include "common/clock.h"
#include "daemon/worker.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/temp_dir.h"

#define BOOT       "11111111-2222-3333-4444-555555555555"
#define A_DAY      86400
#define EXTENTS    4
#define JOBS_MOST  128
#define NOT_CALLED 12345

struct world {
	struct fake_root fake;
	struct temp_dir state_dir;
	struct reserved_memory memory;
	struct child child;
	struct interrupt interrupt;
	struct core core;
	struct worker *worker;
};

static inline void child_memory(void *argument, char step)
{
	char *memory;

	if (step)
		return;
	memory = reserved_map(argument, 0, EXTENTS * RESERVED_EXTENT, MADV_HUGEPAGE);
	memset(memory, 7, EXTENTS * RESERVED_EXTENT);
}

static inline struct config config_make(void)
{
	return (struct config){
		.default_mode = MODE_OBSERVE,
		.cpu_percent = 1000,
		.stall_budget_ms = 5,
		.scan_interval_s = A_DAY,
		.settle_seconds = A_DAY,
		.hook = HOOK_NONE,
		.policy_dir = strdup("/nonexistent"),
	};
}

static inline int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct fake_vma vma;

	(void)alarm(120); /* whatever hangs, ends the test */
	fake_host_init(&world->fake);
	fake_host_add_ksm(&world->fake);
	world->state_dir = temp_dir_make();
	reserved_memory_init(&world->memory, EXTENTS * RESERVED_EXTENT);
	child_start(&world->child, child_memory, &world->memory);
	vma = fake_vma_of(&world->memory, 0, EXTENTS * RESERVED_EXTENT, "rd wr hg");
	fake_host_add_qemu(&world->fake, world->child.pid, "web1");
	fake_host_map(&world->fake, world->child.pid, &vma, 1);
	assert_int_equal(interrupt_init(&world->interrupt), 0);
	driver_init(&world->core.driver);
	assert_int_equal(host_root_open(world->fake.path, &world->core.root), 0);
	assert_int_equal(crew_init(&world->core.crew), 0);
	(void)strcpy(world->core.recorded.boot_id, BOOT);
	world->core.state_dir = world->state_dir.path;
	world->core.attach_helper = "/nonexistent";
	world->core.interrupt = &world->interrupt;
	world->core.index_stale = true;
	world->core.config = config_make();
	budget_init(&world->core.budget, world->core.config.cpu_percent);
	*state = world;
	return 0;
}

static inline int teardown(void **state)
{
	struct world *world = *state;

	if (world->worker)
		worker_stop(world->worker);
	core_close(&world->core);
	interrupt_done(&world->interrupt);
	child_stop(&world->child);
	reserved_memory_done(&world->memory);
	temp_dir_remove(&world->state_dir);
	fake_root_done(&world->fake);
	free(world);
	(void)alarm(0);
	return 0;
}

static inline void start(struct world *world)
{
	assert_int_equal(worker_start(&world->core, &world->worker), 0);
}

static inline void stop(struct world *world)
{
	worker_stop(world->worker);
	world->worker = NULL;
}

/* The newest snapshot of a pass not before number. */
static inline struct snapshot *await_pass(const struct world *world, uint64_t number)
{
	for (;;) {
		struct snapshot *snapshot = worker_snapshot(world->worker);

		assert_non_null(snapshot);
		if (snapshot->pass_number >= number)
			return snapshot;
		(void)snapshot_unref(snapshot);
		(void)usleep(500); /* to wait for worker_fd() is to dispatch, which is the test's */
	}
}

static inline void await_and_drop_pass(const struct world *world, uint64_t number)
{
	(void)snapshot_unref(await_pass(world, number));
}

/* Dispatches what has been finished. True: --once is done. */
static inline bool dispatch(const struct world *world)
{
	struct pollfd poll_fd = { .fd = worker_fd(world->worker), .events = POLLIN };

	assert_int_equal(poll(&poll_fd, 1, -1), 1);
	return worker_dispatch(world->worker);
}

struct answer {
	int error;
	unsigned calls, at;
	struct document *document;
};

static unsigned answers_given; /* in this program */

static inline void take_answer(void *token, struct api_outcome outcome)
{
	struct answer *answer = token;

	answer->error = outcome.error;
	answer->calls++;
	answer->at = answers_given++;
	answer->document = outcome.document;
	free(outcome.message);
}

static inline void submit(
	const struct world *world, enum api_command command, struct answer *answer)
{
	const struct api_request request = { .command = command, .pid = 1 };

	*answer = (struct answer){ .error = NOT_CALLED };
	assert_int_equal(worker_submit(world->worker, &request, take_answer, answer), 0);
}

static inline void await_answer(const struct world *world, const struct answer *answer)
{
	while (!answer->calls)
		(void)dispatch(world);
}

#define WORKER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
