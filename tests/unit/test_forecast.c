// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/forecast.h"

#include "tests/unit/fake_root.h"
#include "tests/unit/made_core.h"

static struct core core;
static struct target *one, *two;

static int setup(void **state)
{
	(void)state;
	one = made_target(&core, 1, "web", 1);
	two = made_target(&core, 2, "web", 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	made_core_done(&core);
	return 0;
}

/* So many pages are to fold in the first VM, and half of that comes back. */
static void plan_for_one(uint16_t pages)
{
	plan_done(&core.plan);
	core.plan.entries = calloc(1, sizeof(*core.plan.entries));
	core.plan.vm_yield = calloc(2, sizeof(double));
	assert_non_null(core.plan.entries);
	assert_non_null(core.plan.vm_yield);
	core.plan.count = 1;
	core.plan.entries[0] =
		(struct plan_entry){ .pid = 1, .gain = pages, .action = PLAN_FOLD };
	core.plan.vm_yield[0] = 0.5;
	core.plan.fold_pages = pages;
	core.plan.saved_pages = pages / 2;
}

/* Books that nobody draws up here: these targets have no address space to look at. */
static void books(struct target *target, int64_t pages)
{
	target->reclaimed_bytes = pages * (int64_t)PAGE_BYTES;
}

static void test_forecast_is_what_was_said_beside_what_came(void **state)
{
	(void)state;
	plan_for_one(100);
	forecast_begin(&core);
	assert_false(core.forecast.judged);
	books(one, 45);
	books(two, 3); /* it was folded before, and shares with more now */
	forecast_judge(&core);
	assert_true(one->forecast.judged);
	assert_int_equal(one->forecast.predicted_bytes, 50 * PAGE_BYTES);
	assert_int_equal(one->forecast.delivered_bytes, 45 * PAGE_BYTES);
	assert_false(two->forecast.judged);
	assert_int_equal(core.forecast.predicted_bytes, 50 * PAGE_BYTES);
	assert_int_equal(core.forecast.delivered_bytes, 48 * PAGE_BYTES);
}

static void test_forecast_is_judged_once(void **state)
{
	(void)state;
	plan_for_one(100);
	forecast_begin(&core);
	books(one, 50);
	forecast_judge(&core);
	books(one, 20); /* what breaks later is no error of the plan's */
	forecast_judge(&core);
	assert_int_equal(one->forecast.delivered_bytes, 50 * PAGE_BYTES);
	assert_int_equal(core.forecast.delivered_bytes, 50 * PAGE_BYTES);
}

static void test_forecast_adds_up_over_bursts(void **state)
{
	(void)state;
	for (int burst = 1; burst <= 3; burst++) {
		plan_for_one(100);
		/* Their address spaces were looked at since, where nothing is marked: the books are
		 * empty again. */
		one->guest.looks++;
		forecast_begin(&core);
		books(one, 49);
		forecast_judge(&core);
		assert_int_equal(core.forecast.predicted_bytes, burst * 50 * (int)PAGE_BYTES);
		assert_int_equal(core.forecast.delivered_bytes, burst * 49 * (int)PAGE_BYTES);
	}
}

static void test_forecast_takes_books_that_are_up_to_date_as_they_are(void **state)
{
	(void)state;
	plan_for_one(100);
	books(one, 7);
	forecast_begin(&core);
	books(one, 50);
	forecast_judge(&core);
	assert_int_equal(one->forecast.delivered_bytes, 43 * PAGE_BYTES);
}

static void test_forecast_of_a_burst_that_was_cut_short_is_dropped(void **state)
{
	(void)state;
	plan_for_one(100);
	forecast_begin(&core);
	books(one, 10);
	forecast_drop(&core);
	forecast_judge(&core);
	assert_false(one->forecast.judged);
	assert_false(core.forecast.judged);
}

/* It took along whatever it had reclaimed. */
static void test_forecast_leaves_out_who_is_gone(void **state)
{
	(void)state;
	plan_for_one(100);
	forecast_begin(&core);
	one->mapped = false;
	books(two, 4);
	forecast_judge(&core);
	assert_false(one->forecast.judged);
	assert_int_equal(core.forecast.predicted_bytes, 0);
	assert_int_equal(core.forecast.delivered_bytes, 4 * PAGE_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_forecast_is_what_was_said_beside_what_came, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forecast_is_judged_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forecast_adds_up_over_bursts, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_forecast_takes_books_that_are_up_to_date_as_they_are, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_forecast_of_a_burst_that_was_cut_short_is_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_forecast_leaves_out_who_is_gone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
