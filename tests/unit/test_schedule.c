// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "common/clock.h"

static const struct schedule shipped = { .interval_ns = 30 * NS_PER_S, .settle_ns = 10 * NS_PER_S };

static uint64_t rest_s(const struct schedule *schedule, uint8_t quiet, uint8_t restless, bool young)
{
	const struct extent extent = { .quiet = quiet, .restless = restless, .visits = UINT8_MAX };

	return schedule_rest_ns(schedule, &extent, young) / NS_PER_S;
}

static void test_schedule_what_stays_the_same_is_read_ever_less_often(void **state)
{
	static const unsigned rests[] = { 30, 60, 120, 240, 480, 960, 960 };

	(void)state;
	for (uint8_t quiet = 0; quiet < 7; quiet++)
		assert_int_equal(rest_s(&shipped, quiet, 0, false), rests[quiet]);
	assert_int_equal(rest_s(&shipped, UINT8_MAX, 0, false), 960);
}

static void test_schedule_what_always_changes_is_left_alone_too(void **state)
{
	(void)state;
	assert_int_equal(rest_s(&shipped, 0, 1, false), 30); /* once: it may be done with it */
	assert_int_equal(rest_s(&shipped, 0, 2, false), 60);
	assert_int_equal(rest_s(&shipped, 0, 5, false), 480);
	assert_int_equal(rest_s(&shipped, 0, UINT8_MAX, false), 960);
}

static void test_schedule_pressure_shortens_it(void **state)
{
	struct schedule schedule = shipped;

	(void)state;
	schedule.under_pressure = true;
	assert_int_equal(rest_s(&schedule, 0, 1, false), 30);
	assert_int_equal(rest_s(&schedule, UINT8_MAX, 0, false), 60);
	assert_int_equal(rest_s(&schedule, 0, UINT8_MAX, false), 60);
}

static void test_schedule_the_young_are_seen_soon_and_again_soon(void **state)
{
	const struct extent once = { .visits = 1, .quiet = 1 };
	const struct schedule eager = { .interval_ns = NS_PER_S, .settle_ns = 0 };

	(void)state;
	assert_int_equal(schedule_interval_ns(&shipped, true), SCHEDULE_YOUNG_INTERVAL_NS);
	assert_int_equal(schedule_interval_ns(&shipped, false), 30 * NS_PER_S);
	assert_int_equal(schedule_settle_ns(&shipped, true), SCHEDULE_YOUNG_INTERVAL_NS);
	assert_int_equal(schedule_settle_ns(&shipped, false), 10 * NS_PER_S);
	assert_int_equal(schedule_rest_ns(&shipped, &once, true), SCHEDULE_YOUNG_INTERVAL_NS);
	assert_int_equal(schedule_rest_ns(&shipped, &once, false), 60 * NS_PER_S);
	assert_int_equal(rest_s(&shipped, 1, 0, true), 4);
	assert_int_equal(rest_s(&shipped, UINT8_MAX, 0, true), 64);
	/* Never later than what was asked for. */
	assert_int_equal(schedule_interval_ns(&eager, true), NS_PER_S);
	assert_int_equal(schedule_settle_ns(&eager, true), 0);
}

/* Two looks two seconds apart, with so much resident, and so much CPU time between them. */
static bool busy(uint64_t pages, uint64_t pages_then, uint64_t cpu_ns)
{
	const struct schedule_look before = { pages, 7 * NS_PER_S, 100 * NS_PER_S };
	const struct schedule_look now = { pages_then, 7 * NS_PER_S + cpu_ns, 102 * NS_PER_S };

	return schedule_is_busy(&before, &now);
}

static void test_schedule_who_grows_or_computes_is_busy(void **state)
{
	const struct schedule_look none = { 0 }, first = { 1000, 0, NS_PER_S };

	(void)state;
	assert_true(schedule_is_busy(&none, &first));
	assert_true(busy(3200, 3301, 0));
	assert_false(busy(3200, 3300, 0));
	assert_false(busy(3200, 1000, 0));
	assert_true(busy(3200, 3200, NS_PER_S + 1));
	assert_false(busy(3200, 3200, NS_PER_S));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schedule_what_stays_the_same_is_read_ever_less_often),
		cmocka_unit_test(test_schedule_what_always_changes_is_left_alone_too),
		cmocka_unit_test(test_schedule_who_grows_or_computes_is_busy),
		cmocka_unit_test(test_schedule_pressure_shortens_it),
		cmocka_unit_test(test_schedule_the_young_are_seen_soon_and_again_soon),
	};

	return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
