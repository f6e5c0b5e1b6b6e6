// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/worker.h"

#include <errno.h>
#include <poll.h>

#include "common/clock.h"
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

static void child_memory(void *argument, char step)
{
	char *memory;

	if (step)
		return;
	memory = reserved_map(argument, 0, EXTENTS * RESERVED_EXTENT, MADV_HUGEPAGE);
	memset(memory, 7, EXTENTS * RESERVED_EXTENT);
}

static struct config config_make(void)
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

static int setup(void **state)
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

static int teardown(void **state)
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

static void start(struct world *world)
{
	assert_int_equal(worker_start(&world->core, &world->worker), 0);
}

static void stop(struct world *world)
{
	worker_stop(world->worker);
	world->worker = NULL;
}

/* The newest snapshot of a pass not before number. */
static struct snapshot *await_pass(const struct world *world, uint64_t number)
{
	for (;;) {
		struct snapshot *snapshot = worker_snapshot(world->worker);

		assert_non_null(snapshot);
		if (snapshot->pass_number >= number)
			return snapshot;
		(void)snapshot_unref(snapshot);
		(void)usleep(500); /* nobody is told of a new snapshot */
	}
}

static void await_and_drop_pass(const struct world *world, uint64_t number)
{
	(void)snapshot_unref(await_pass(world, number));
}

/* Dispatches what has been finished. True: --once is done. */
static bool dispatch(const struct world *world)
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

static unsigned answers_given;

static void take_answer(void *token, struct api_outcome outcome)
{
	struct answer *answer = token;

	answer->error = outcome.error;
	answer->calls++;
	answer->at = answers_given++;
	answer->document = outcome.document;
	free(outcome.message);
}

static void submit(const struct world *world, enum api_command command, struct answer *answer)
{
	const struct api_request request = { .command = command, .pid = 1 };

	*answer = (struct answer){ .error = NOT_CALLED };
	assert_int_equal(worker_submit(world->worker, &request, take_answer, answer), 0);
}

static void await_answer(const struct world *world, const struct answer *answer)
{
	while (!answer->calls)
		(void)dispatch(world);
}

/* ---- passes ---- */

static void test_worker_has_a_snapshot_from_the_start(void **state)
{
	struct world *world = *state;
	struct snapshot *snapshot;

	start(world);
	assert_true(worker_is_alive(world->worker));
	snapshot = worker_snapshot(world->worker);
	assert_non_null(snapshot);
	(void)snapshot_unref(snapshot);
}

static void test_worker_reads_and_publishes(void **state)
{
	struct world *world = *state;
	struct snapshot *snapshot;

	start(world);
	snapshot = await_pass(world, 1);
	assert_int_equal(snapshot->vm_count, 1);
	assert_string_equal(snapshot->vms[0].name, "web1");
	assert_int_equal(snapshot->vms[0].state, VM_OBSERVED);
	assert_int_equal(snapshot->vms[0].pages_scanned, EXTENTS * EXTENT_PAGES);
	assert_int_equal(snapshot->vms[0].duplicate_pages, EXTENTS * EXTENT_PAGES);
	assert_int_equal(snapshot->memory_bytes, UINT64_C(8) << 30);
	stop(world);
	/* A snapshot outlives the worker. */
	assert_string_equal(snapshot->vms[0].name, "web1");
	(void)snapshot_unref(snapshot);
}

static void test_worker_stops_at_any_moment(void **state)
{
	struct world *world = *state;

	for (int once = 0; once < 2; once++) {
		world->core.once = once;
		for (unsigned i = 0; i < 400; i++) {
			start(world);
			for (volatile unsigned spin = 0; spin < i * 50; spin++)
				;
			stop(world);
		}
	}
}

static void test_worker_stops_in_the_middle_of_a_slow_scan(void **state)
{
	struct world *world = *state;
	uint64_t started_ns;

	world->core.config.cpu_percent = 1;
	start(world);
	started_ns = clock_monotonic_ns();
	stop(world);
	assert_true(clock_monotonic_ns() - started_ns < 20 * NS_PER_S);
}

/* ---- requests ---- */

static void test_worker_answers_a_question_while_it_sleeps_and_starts_no_pass(void **state)
{
	struct world *world = *state;
	struct snapshot *snapshot;
	struct answer answers[3];

	start(world);
	await_and_drop_pass(world, 1);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		submit(world, API_MATRIX, &answers[i]);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		await_answer(world, &answers[i]);
		assert_int_equal(answers[i].error, 0);
		assert_non_null(answers[i].document);
		assert_non_null(strstr(answers[i].document->text, "\"web1\""));
		(void)document_unref(answers[i].document);
	}
	snapshot = worker_snapshot(world->worker);
	assert_int_equal(snapshot->pass_number, 1);
	(void)snapshot_unref(snapshot);
}

static void test_worker_answers_a_question_in_a_pause(void **state)
{
	struct world *world = *state;
	struct answer pause, question;

	start(world);
	await_and_drop_pass(world, 1);
	submit(world, API_PAUSE, &pause);
	await_answer(world, &pause);
	submit(world, API_MATRIX, &question);
	await_answer(world, &question);
	assert_non_null(question.document);
	(void)document_unref(question.document);
}

static void test_worker_answers_after_the_snapshot_that_shows_it(void **state)
{
	struct world *world = *state;
	struct snapshot *snapshot;
	struct answer answer;
	struct state recorded;

	start(world);
	submit(world, API_PAUSE, &answer);
	await_answer(world, &answer);
	assert_int_equal(answer.error, 0);
	snapshot = worker_snapshot(world->worker);
	assert_true(snapshot->paused);
	(void)snapshot_unref(snapshot);
	assert_int_equal(state_load(world->state_dir.path, BOOT, &recorded), 0);
	assert_true(recorded.paused);
	state_done(&recorded);
	submit(world, API_RESUME, &answer);
	await_answer(world, &answer);
	snapshot = worker_snapshot(world->worker);
	assert_false(snapshot->paused);
	(void)snapshot_unref(snapshot);
}

static void test_worker_answers_in_the_order_of_the_requests(void **state)
{
	struct world *world = *state;
	struct answer answers[20];

	answers_given = 0;
	start(world);
	for (unsigned i = 0; i < ARRAY_SIZE(answers); i++)
		submit(world, i % 2 ? API_RESUME : API_PAUSE, &answers[i]);
	await_answer(world, &answers[ARRAY_SIZE(answers) - 1]);
	for (unsigned i = 0; i < ARRAY_SIZE(answers); i++) {
		assert_int_equal(answers[i].error, 0);
		assert_int_equal(answers[i].calls, 1);
		assert_int_equal(answers[i].at, i);
	}
}

static void test_worker_release_of_nobody_says_so(void **state)
{
	struct world *world = *state;
	struct answer answer;

	start(world);
	submit(world, API_RELEASE, &answer);
	await_answer(world, &answer);
	assert_int_equal(answer.error, -ESRCH);
}

static void test_worker_takes_so_many_requests_and_no_more(void **state)
{
	struct world *world = *state;
	const struct api_request request = { .command = API_RESUME };
	struct answer answers[JOBS_MOST], one_too_many = { .error = NOT_CALLED };

	start(world);
	for (unsigned i = 0; i < JOBS_MOST; i++)
		submit(world, API_RESUME, &answers[i]);
	/* Answered or not: what nobody has fetched counts. */
	assert_int_equal(
		worker_submit(world->worker, &request, take_answer, &one_too_many), -EBUSY);
	for (unsigned i = 0; i < JOBS_MOST; i++)
		await_answer(world, &answers[i]);
	assert_int_equal(one_too_many.calls, 0);
	submit(world, API_RESUME, &one_too_many);
	await_answer(world, &one_too_many);
	assert_int_equal(one_too_many.error, 0);
}

static void test_worker_that_stops_answers_everybody_once(void **state)
{
	struct world *world = *state;
	struct answer answers[50];

	for (unsigned round = 0; round < 40; round++) {
		start(world);
		for (unsigned i = 0; i < ARRAY_SIZE(answers); i++)
			submit(world, API_RESUME, &answers[i]);
		stop(world);
		for (unsigned i = 0; i < ARRAY_SIZE(answers); i++) {
			assert_int_equal(answers[i].calls, 1);
			assert_true(answers[i].error == 0 || answers[i].error == -ECANCELED);
		}
	}
}

static void test_worker_request_interrupts_a_slow_scan(void **state)
{
	struct world *world = *state;
	struct answer answer;
	uint64_t started_ns;

	world->core.config.cpu_percent = 1;
	start(world);
	started_ns = clock_monotonic_ns();
	submit(world, API_PAUSE, &answer);
	await_answer(world, &answer);
	assert_true(clock_monotonic_ns() - started_ns < 20 * NS_PER_S);
}

/* ---- reload ---- */

static void reload(const struct world *world, enum policy_mode default_mode)
{
	struct config config = config_make();
	struct policy_set policies = { 0 };

	config.default_mode = default_mode;
	assert_int_equal(worker_reload(world->worker, &config, &policies), 0);
}

static void test_worker_reload_brings_the_next_pass_forward(void **state)
{
	struct world *world = *state;

	start(world);
	await_and_drop_pass(world, 1);
	for (unsigned round = 0; round < 20; round++) {
		const enum policy_mode mode = round % 2 ? MODE_OBSERVE : MODE_OFF;
		struct snapshot *snapshot = await_pass(world, 0);
		const uint64_t pass = snapshot->pass_number;

		reload(world, mode);
		for (;;) {
			const bool done = snapshot->vms && snapshot->vms[0].mode == mode;

			(void)snapshot_unref(snapshot);
			if (done)
				break;
			/* In a day, if it were not brought forward. */
			snapshot = await_pass(world, pass + 1);
		}
	}
}

static void test_worker_reloads_that_follow_each_other_leave_the_last(void **state)
{
	struct world *world = *state;

	start(world);
	for (unsigned i = 0; i < 50; i++)
		reload(world, MODE_OBSERVE);
	reload(world, MODE_OFF);
	for (;;) {
		struct snapshot *snapshot = await_pass(world, 1);
		const bool off = snapshot->vms[0].mode == MODE_OFF;

		(void)snapshot_unref(snapshot);
		if (off)
			break;
		(void)usleep(500);
	}
}

static void test_worker_reload_that_nobody_took_is_not_leaked(void **state)
{
	struct world *world = *state;

	for (unsigned i = 0; i < 100; i++) {
		start(world);
		reload(world, MODE_OBSERVE);
		stop(world);
	}
}

/* ---- --once ---- */

static void test_worker_once_ends_when_there_is_nothing_to_fold(void **state)
{
	struct world *world = *state;
	struct answer answer;

	world->core.once = true;
	world->core.config.settle_seconds = 0;
	start(world);
	while (!dispatch(world))
		;
	/* Requests are served all the same, and the last word stays. */
	submit(world, API_PAUSE, &answer);
	await_answer(world, &answer);
	assert_int_equal(answer.error, 0);
	assert_true(worker_dispatch(world->worker));
	assert_true(worker_is_alive(world->worker));
}

/* A VM that goes between two passes takes its planned visits with it. */
static void test_worker_vm_may_end_while_its_second_visit_is_awaited(void **state)
{
	struct world *world = *state;
	struct answer answer;

	world->core.config.default_mode = MODE_MERGE;
	start(world);
	await_and_drop_pass(world, 1);
	child_kill(&world->child);
	fake_host_remove(&world->fake, world->child.pid);
	for (unsigned i = 0; i < 20; i++) {
		/* A pass that is interrupted keeps the plan of the one before. */
		submit(world, API_RESUME, &answer);
		await_answer(world, &answer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define WORKER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		WORKER_TEST(test_worker_has_a_snapshot_from_the_start),
		WORKER_TEST(test_worker_reads_and_publishes),
		WORKER_TEST(test_worker_stops_at_any_moment),
		WORKER_TEST(test_worker_stops_in_the_middle_of_a_slow_scan),
		WORKER_TEST(test_worker_answers_a_question_while_it_sleeps_and_starts_no_pass),
		WORKER_TEST(test_worker_answers_a_question_in_a_pause),
		WORKER_TEST(test_worker_answers_after_the_snapshot_that_shows_it),
		WORKER_TEST(test_worker_answers_in_the_order_of_the_requests),
		WORKER_TEST(test_worker_release_of_nobody_says_so),
		WORKER_TEST(test_worker_takes_so_many_requests_and_no_more),
		WORKER_TEST(test_worker_that_stops_answers_everybody_once),
		WORKER_TEST(test_worker_request_interrupts_a_slow_scan),
		WORKER_TEST(test_worker_reload_brings_the_next_pass_forward),
		WORKER_TEST(test_worker_reloads_that_follow_each_other_leave_the_last),
		WORKER_TEST(test_worker_reload_that_nobody_took_is_not_leaked),
		WORKER_TEST(test_worker_once_ends_when_there_is_nothing_to_fold),
		WORKER_TEST(test_worker_vm_may_end_while_its_second_visit_is_awaited),
	};

	return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
