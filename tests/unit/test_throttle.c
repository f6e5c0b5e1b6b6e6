// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/clock.h"

static struct interrupt interrupt;

static int setup(void **state)
{
	(void)state;
	(void)alarm(60);
	return interrupt_init(&interrupt);
}

static int teardown(void **state)
{
	(void)state;
	interrupt_done(&interrupt);
	(void)alarm(0);
	return 0;
}

/* CPU time of this process, by computing. */
static void burn(uint64_t ns)
{
	const uint64_t until_ns = clock_process_cpu_ns() + ns;

	while (clock_process_cpu_ns() < until_ns)
		;
}

static void test_throttle_sleeps_until_what_was_used_is_earned(void **state)
{
	struct throttle throttle;
	uint64_t cpu_ns, wall_ns;

	(void)state;
	throttle_start(&throttle, 25);
	for (int i = 0; i < 3; i++) {
		burn(20 * NS_PER_MS);
		assert_false(throttle_pace(&throttle, &interrupt));
	}
	cpu_ns = clock_process_cpu_ns() - throttle.cpu_start_ns;
	wall_ns = clock_monotonic_ns() - throttle.wall_start_ns;
	/* 60 ms at a quarter are 240 ms; what was left open is less than the slack of 10 ms. */
	assert_true(cpu_ns >= 60 * NS_PER_MS);
	assert_true(wall_ns + 10 * NS_PER_MS >= cpu_ns * 4 - 4 * NS_PER_MS);
}

static void test_throttle_leaves_small_debts_open(void **state)
{
	struct throttle throttle;
	uint64_t before_ns;

	(void)state;
	throttle_start(&throttle, 100);
	burn(NS_PER_MS);
	before_ns = clock_process_cpu_ns();
	assert_false(throttle_pace(&throttle, &interrupt));
	assert_true(clock_process_cpu_ns() - before_ns < 10 * NS_PER_MS);
}

static void test_throttle_with_several_cores_to_spend_does_not_sleep(void **state)
{
	struct throttle throttle;
	uint64_t before_ns;

	(void)state;
	throttle_start(&throttle, 1000);
	burn(50 * NS_PER_MS);
	before_ns = clock_monotonic_ns();
	assert_false(throttle_pace(&throttle, &interrupt));
	/* It had earned ten times as much. */
	assert_true(clock_monotonic_ns() - before_ns < NS_PER_S);
}

static void test_throttle_says_so_when_it_is_interrupted(void **state)
{
	struct throttle throttle;

	(void)state;
	throttle_start(&throttle, 1);
	interrupt_raise(&interrupt);
	assert_true(throttle_pace(&throttle, &interrupt));
	/* 100 ms at one percent are ten seconds, which nobody waits for. */
	burn(100 * NS_PER_MS);
	assert_true(throttle_pace(&throttle, &interrupt));
	assert_true(clock_monotonic_ns() - throttle.wall_start_ns < 9 * NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_throttle_sleeps_until_what_was_used_is_earned, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_throttle_leaves_small_debts_open, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_throttle_with_several_cores_to_spend_does_not_sleep, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_throttle_says_so_when_it_is_interrupted, setup, teardown),
	};

	return cmocka_run_group_tests_name("throttle", tests, NULL, NULL);
}
