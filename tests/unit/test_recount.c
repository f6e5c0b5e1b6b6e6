// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/recount.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "common/clock.h"

#define KNOWN UINT64_C(1000000)
#define T     (1000 * NS_PER_S) /* the time of the test's beginning */

static void test_recount_is_not_due_without_a_change(void **state)
{
	struct recount recount = { 0 };

	(void)state;
	assert_false(recount_is_due(&recount, KNOWN, false, T));
	recount_note(&recount, 0, T);
	assert_false(recount_is_due(&recount, KNOWN, false, T));
}

static void test_recount_is_due_at_once_the_first_time(void **state)
{
	struct recount recount = { 0 };

	(void)state;
	recount_note(&recount, 1, T);
	assert_true(recount_is_due(&recount, 0, true, T));
}

static void test_recount_for_little_waits_until_it_costs_little(void **state)
{
	struct recount recount = { 0 };

	(void)state;
	recount_done(&recount, 180 * NS_PER_MS, T);
	recount_note(&recount, 10, T);
	assert_false(recount_is_due(&recount, KNOWN, false, T + 1799 * NS_PER_S));
	assert_true(recount_is_due(&recount, KNOWN, false, T + 1800 * NS_PER_S));
}

static void test_recount_for_much_is_due_at_once(void **state)
{
	struct recount recount = { 0 };

	(void)state;
	recount_done(&recount, 180 * NS_PER_MS, T);
	recount_note(&recount, KNOWN / 1024, T);
	assert_false(recount_is_due(&recount, KNOWN, false, T));
	recount_note(&recount, KNOWN / 1024 + 1, T);
	assert_true(recount_is_due(&recount, KNOWN, false, T));
	recount_done(&recount, 180 * NS_PER_MS, T);
	assert_false(recount_is_due(&recount, KNOWN, false, T));
}

static void test_recount_waits_for_a_booting_vm_to_come_to_rest(void **state)
{
	struct recount recount = { 0 };
	uint64_t now = T;

	(void)state;
	recount_done(&recount, 180 * NS_PER_MS, now);
	for (int pass = 0; pass < 5; pass++, now += 2 * NS_PER_S) {
		recount_begin(&recount);
		recount_note(&recount, 20000, now);
		assert_false(recount_is_due(&recount, KNOWN, true, now));
	}
	recount_begin(&recount);
	recount_note(&recount, 1000, now);
	assert_true(recount_is_due(&recount, KNOWN, true, now));
}

static void test_recount_does_not_wait_for_ever(void **state)
{
	struct recount recount = { 0 };

	(void)state;
	recount_done(&recount, 180 * NS_PER_MS, T);
	recount_note(&recount, 20000, T);
	recount_begin(&recount);
	recount_note(&recount, 20000, T + 19 * NS_PER_S);
	assert_false(recount_is_due(&recount, KNOWN, true, T + 19 * NS_PER_S));
	assert_true(recount_is_due(&recount, KNOWN, true, T + 20 * NS_PER_S));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recount_is_not_due_without_a_change),
		cmocka_unit_test(test_recount_is_due_at_once_the_first_time),
		cmocka_unit_test(test_recount_for_little_waits_until_it_costs_little),
		cmocka_unit_test(test_recount_for_much_is_due_at_once),
		cmocka_unit_test(test_recount_waits_for_a_booting_vm_to_come_to_rest),
		cmocka_unit_test(test_recount_does_not_wait_for_ever),
	};

	return cmocka_run_group_tests_name("recount", tests, NULL, NULL);
}
