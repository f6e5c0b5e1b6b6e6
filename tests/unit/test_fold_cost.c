// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/fold_cost.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void test_stall_is_breaks_by_their_price_of_then_and_delays(void **state)
{
	struct fold_cost cost = { .broken = { 100, 50 }, .hidden = 10, .delay_ns = 7000000 };
	double seconds = -1;

	(void)state;
	assert_int_equal(fold_cost_breaks(&cost), 160);
	assert_false(fold_cost_stall_seconds(&cost, &seconds));
	assert_true(seconds < 0);
	fold_cost_price(&cost, 2000);
	assert_true(fold_cost_stall_seconds(&cost, &seconds));
	assert_float_equal(seconds, 0.00732, 1e-9);
	fold_cost_price(&cost, 9000); /* what is priced stays as it is */
	cost.broken.zero++;
	assert_false(fold_cost_stall_seconds(&cost, &seconds));
	fold_cost_price(&cost, 9000);
	assert_true(fold_cost_stall_seconds(&cost, &seconds));
	assert_float_equal(seconds, 0.007329, 1e-9);
}

static void test_who_broke_nothing_has_stalled_for_its_delays_only(void **state)
{
	struct fold_cost cost = { 0 };
	double seconds = -1;

	(void)state;
	assert_true(fold_cost_stall_seconds(&cost, &seconds));
	assert_float_equal(seconds, 0, 0);
}

static void test_books_of_those_who_are_gone_add_up(void **state)
{
	struct fold_cost sum = { { 1, 2 }, 3, 6, 40, 5, 4, 1 };
	const struct fold_cost cost = { { 10, 20 }, 30, 60, 400, 50, 3, 2 };

	(void)state;
	fold_cost_add(&sum, &cost);
	assert_int_equal(fold_cost_breaks(&sum), 66);
	assert_int_equal(sum.broken.ksm, 11);
	assert_int_equal(sum.priced, 66);
	assert_int_equal(sum.stall_ns, 440);
	assert_int_equal(sum.delay_ns, 55);
	assert_int_equal(sum.longest_ns, 4);
	assert_int_equal(sum.requests, 3);
}

static void test_faults_in_a_burst_wait_by_ksmds_share(void **state)
{
	(void)state;
	assert_int_equal(fold_cost_burst_ns(1000, 0.5, 8000), 4000000);
	assert_int_equal(fold_cost_burst_ns(1000, 3, 8000), 8000000); /* clocks do not agree to the tick */
	assert_int_equal(fold_cost_burst_ns(1000, -1, 8000), 0);
	assert_int_equal(fold_cost_burst_ns(0, 1, 8000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stall_is_breaks_by_their_price_of_then_and_delays),
		cmocka_unit_test(test_who_broke_nothing_has_stalled_for_its_delays_only),
		cmocka_unit_test(test_books_of_those_who_are_gone_add_up),
		cmocka_unit_test(test_faults_in_a_burst_wait_by_ksmds_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
