// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/batch.h"

#include "common/clock.h"
#include "tests/unit/made_core.h"

#define INTERVAL_S 30

static struct core core;

/* 102,400 marked pages: 1,600 are worth a burst, 200 and less are next to nothing. */
static int setup(void **state)
{
	(void)state;
	core = (struct core){ .config.scan_interval_s = INTERVAL_S };
	for (pid_t pid = 1; pid <= 2; pid++)
		made_target(&core, pid, "g", 1)->marked_extents = 100;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	made_core_done(&core);
	return 0;
}

static void plan(uint64_t pages)
{
	core.plan.fold_pages = pages;
}

static void later(unsigned seconds)
{
	core.batched_since_ns -= seconds * NS_PER_S;
}

static void test_batch_of_enough_is_worth_a_burst(void **state)
{
	(void)state;
	plan(1600);
	assert_true(batch_is_worth_a_burst(&core));
	assert_false(batch_waits(&core));
	plan(1599);
	assert_false(batch_is_worth_a_burst(&core));
	assert_true(batch_waits(&core));
	/* Somebody may stand in the way of the burst: it waits for that, and not for more. */
	plan(1600);
	assert_false(batch_waits(&core));
	assert_true(batch_is_worth_a_burst(&core));
	assert_int_equal(core.batched_since_ns, 0);
}

static void test_batch_waits_for_ten_intervals_and_no_longer(void **state)
{
	(void)state;
	plan(200);
	assert_false(batch_is_worth_a_burst(&core));
	later(10 * INTERVAL_S - 5);
	assert_true(batch_waits(&core));
	assert_false(batch_is_worth_a_burst(&core));
	later(5);
	assert_false(batch_waits(&core));
	assert_true(batch_is_worth_a_burst(&core));
}

static void test_batch_of_next_to_nothing_waits_longer_the_less_it_is(void **state)
{
	(void)state;
	plan(20);
	assert_false(batch_is_worth_a_burst(&core));
	later(100 * INTERVAL_S - 5);
	assert_true(batch_waits(&core));
	/* More has come in the meantime: it has waited long enough for that. */
	plan(40);
	assert_false(batch_waits(&core));
	plan(20);
	later(5);
	assert_true(batch_is_worth_a_burst(&core));
}

static void test_batch_of_nothing_waits_for_nothing(void **state)
{
	(void)state;
	plan(20);
	assert_false(batch_is_worth_a_burst(&core));
	plan(0);
	assert_false(batch_waits(&core));
	assert_false(batch_is_worth_a_burst(&core));
	/* What comes next has not waited yet. */
	plan(200);
	assert_false(batch_waits(&core));
	assert_false(batch_is_worth_a_burst(&core));
	assert_true(batch_waits(&core));
}

static void test_batch_once_has_no_later(void **state)
{
	(void)state;
	core.once = true;
	plan(200);
	assert_true(batch_is_worth_a_burst(&core));
	plan(199);
	assert_false(batch_is_worth_a_burst(&core));
}

static void test_batch_of_the_first_is_worth_it_whatever_it_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < core.registry.count; i++)
		core.registry.targets[i]->marked_extents = 0;
	plan(1);
	assert_true(batch_is_worth_a_burst(&core));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_batch_of_enough_is_worth_a_burst, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_batch_waits_for_ten_intervals_and_no_longer, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_batch_of_next_to_nothing_waits_longer_the_less_it_is, setup, teardown),
		cmocka_unit_test_setup_teardown(test_batch_of_nothing_waits_for_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_batch_once_has_no_later, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_batch_of_the_first_is_worth_it_whatever_it_is, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
