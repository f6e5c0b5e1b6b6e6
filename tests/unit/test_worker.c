// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/worker.h"

#include "tests/unit/worker_world.h"

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
		WORKER_TEST(test_worker_has_a_snapshot_from_the_start),
		WORKER_TEST(test_worker_reads_and_publishes),
		WORKER_TEST(test_worker_stops_at_any_moment),
		WORKER_TEST(test_worker_stops_in_the_middle_of_a_slow_scan),
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
