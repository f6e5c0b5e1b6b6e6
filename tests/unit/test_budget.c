// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/clock.h"

static struct interrupt interrupt;
static struct budget budget;

static int setup(void **state)
{
	(void)state;
	(void)alarm(60);
	return interrupt_init(&interrupt);
}

static int teardown(void **state)
{
	(void)state;
	budget_done(&budget);
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

static void start_empty(unsigned cpu_percent)
{
	budget_init(&budget, cpu_percent);
	budget.balance_ns = 0;
}

/* As if so much time had passed without any work. */
static void rest(uint64_t ns)
{
	budget.wall_ns -= ns;
}

static void test_budget_sleeps_until_what_was_used_is_earned(void **state)
{
	uint64_t cpu_ns, wall_ns;

	(void)state;
	cpu_ns = clock_process_cpu_ns();
	wall_ns = clock_monotonic_ns();
	start_empty(25);
	for (int i = 0; i < 3; i++) {
		burn(20 * NS_PER_MS);
		assert_false(budget_pace(&budget, &interrupt));
	}
	cpu_ns = clock_process_cpu_ns() - cpu_ns;
	wall_ns = clock_monotonic_ns() - wall_ns;
	/* 60 ms at a quarter are 240 ms; what was left open is less than the slack of 10 ms. */
	assert_true(cpu_ns >= 60 * NS_PER_MS);
	assert_true(wall_ns + 10 * NS_PER_MS >= cpu_ns * 4 - 4 * NS_PER_MS);
}

static void test_budget_leaves_small_debts_open(void **state)
{
	uint64_t before_ns;

	(void)state;
	start_empty(100);
	burn(NS_PER_MS);
	before_ns = clock_process_cpu_ns();
	assert_false(budget_pace(&budget, &interrupt));
	assert_true(clock_process_cpu_ns() - before_ns < 10 * NS_PER_MS);
}

static void test_budget_of_several_cores_does_not_sleep(void **state)
{
	uint64_t before_ns;

	(void)state;
	start_empty(1000);
	burn(50 * NS_PER_MS);
	before_ns = clock_monotonic_ns();
	assert_false(budget_pace(&budget, &interrupt));
	/* It had earned ten times as much. */
	assert_true(clock_monotonic_ns() - before_ns < NS_PER_S);
}

static void test_budget_says_so_when_it_is_interrupted(void **state)
{
	const uint64_t started_ns = clock_monotonic_ns();

	(void)state;
	start_empty(1);
	interrupt_raise(&interrupt);
	assert_true(budget_pace(&budget, &interrupt));
	/* 100 ms at one percent are ten seconds, which nobody waits for. */
	burn(100 * NS_PER_MS);
	assert_true(budget_pace(&budget, &interrupt));
	assert_true(clock_monotonic_ns() - started_ns < 9 * NS_PER_S);
}

static void test_budget_is_charged_for_what_others_do(void **state)
{
	uint64_t paid_ns;

	(void)state;
	start_empty(10);
	rest(NS_PER_S); /* earns 100 ms */
	assert_true(budget_may_spend(&budget));
	budget_charge(&budget, 600 * NS_PER_MS);
	assert_false(budget_may_spend(&budget));
	/* 500 ms are earned in five seconds. */
	paid_ns = budget_paid_ns(&budget) - clock_monotonic_ns();
	assert_in_range(paid_ns, 4900 * NS_PER_MS, 5500 * NS_PER_MS);
	rest(6 * NS_PER_S);
	assert_true(budget_may_spend(&budget));
}

static void test_budget_keeps_half_a_minute_and_no_more(void **state)
{
	(void)state;
	budget_init(&budget, 10); /* it begins with as much */
	budget_charge(&budget, 2900 * NS_PER_MS);
	assert_true(budget_may_spend(&budget));
	budget_charge(&budget, 200 * NS_PER_MS);
	assert_false(budget_may_spend(&budget));
	rest(7 * 86400 * NS_PER_S);
	budget_charge(&budget, 2900 * NS_PER_MS);
	assert_true(budget_may_spend(&budget));
	budget_charge(&budget, 200 * NS_PER_MS);
	assert_false(budget_may_spend(&budget));
}

/* However it is used: in five minutes no more than 15 % above the setting. */
static void test_budget_holds_over_five_minutes(void **state)
{
	const uint64_t step_ns = 100 * NS_PER_MS;
	uint64_t spent_ns = 0;

	(void)state;
	start_empty(20);
	rest(600 * NS_PER_S);
	for (unsigned step = 0; step < 3000; step++, rest(step_ns))
		while (budget_may_spend(&budget)) {
			budget_charge(&budget, 300 * NS_PER_MS); /* a burst for a few extents */
			spent_ns += 300 * NS_PER_MS;
		}
	assert_in_range(spent_ns, 60 * NS_PER_S, 69 * NS_PER_S);
}

static void test_budget_setting_changes_from_now_on(void **state)
{
	(void)state;
	start_empty(100);
	budget_charge(&budget, NS_PER_S);
	budget_set_percent(&budget, 10);
	assert_in_range(
		budget_paid_ns(&budget) - clock_monotonic_ns(), 9 * NS_PER_S, 11 * NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_budget_sleeps_until_what_was_used_is_earned, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_budget_leaves_small_debts_open, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_budget_of_several_cores_does_not_sleep, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_budget_says_so_when_it_is_interrupted, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_budget_is_charged_for_what_others_do, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_budget_keeps_half_a_minute_and_no_more, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_budget_holds_over_five_minutes, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_budget_setting_changes_from_now_on, setup, teardown),
	};

	return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
