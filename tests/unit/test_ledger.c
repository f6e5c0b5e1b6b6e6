// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/ledger.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "tests/unit/made_core.h"

static struct core core;

static int teardown(void **state)
{
	(void)state;
	made_core_done(&core);
	return 0;
}

static struct target *add(pid_t pid, uint64_t resident_pages)
{
	struct target *target = made_target(&core, pid, "web", 2);

	target->guest.rss_bytes = resident_pages * PAGE_BYTES;
	return target;
}

static void compute_for(uint64_t ns)
{
	const uint64_t until_ns = clock_thread_cpu_ns() + ns;

	while (clock_thread_cpu_ns() < until_ns)
		;
}

static void test_ledger_divides_by_weight_and_loses_nothing(void **state)
{
	static const struct {
		uint64_t ns, weights[4], shares[4];
	} cases[] = {
		{ 100, { 1, 1, 1, 1 }, { 25, 25, 25, 25 } },
		{ 100, { 3, 0, 1, 0 }, { 75, 0, 25, 0 } },
		{ 0, { 3, 0, 1, 0 }, { 0, 0, 0, 0 } },
		{ 100, { 0, 0, 0, 0 }, { 0, 0, 0, 0 } },
		{ 7, { 0, 0, 0, 5 }, { 0, 0, 0, 7 } },
		{ UINT64_MAX / 4, { UINT64_MAX / 2, 0, 0, 0 }, { UINT64_MAX / 4, 0, 0, 0 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t shares[4];

		ledger_divide(cases[i].ns, cases[i].weights, 4, shares);
		assert_memory_equal(shares, cases[i].shares, sizeof(shares));
	}
}

static void test_ledger_shares_add_up_whatever_does_not_divide(void **state)
{
	(void)state;
	for (uint64_t ns = 0; ns < 200; ns++) {
		uint64_t shares[7] = { 1, 2, 3, 5, 7, 11, 13 }, sum = 0;

		ledger_divide(ns, shares, 7, shares);
		for (size_t i = 0; i < 7; i++)
			sum += shares[i];
		assert_int_equal(sum, ns);
	}
}

static void test_ledger_charges_a_stretch_to_the_one_it_was_for(void **state)
{
	struct target *a = add(1, 100), *b = add(2, 100);
	const struct ledger_stretch stretch = ledger_begin(&core);

	(void)state;
	compute_for(2 * NS_PER_MS);
	ledger_end_for(&core, stretch, a);
	assert_true(ledger_of(a) >= 2 * NS_PER_MS);
	assert_int_equal(ledger_of(b), 0);
	assert_int_equal(core.charged_here_ns, ledger_of(a));
}

/* What a visit or a stretch within it was charged already is not charged to all once more. */
static void test_ledger_charges_nothing_twice(void **state)
{
	struct target *a = add(1, 100), *b = add(2, 300);
	const uint64_t begun_ns = clock_thread_cpu_ns();
	const struct ledger_stretch outer = ledger_begin(&core);
	const struct ledger_stretch inner = ledger_begin(&core);
	uint64_t own;

	(void)state;
	compute_for(4 * NS_PER_MS);
	ledger_end_for(&core, inner, a);
	own = ledger_of(a);
	ledger_visit(b, NS_PER_S); /* by another thread, all but so much */
	ledger_visits_here(&core, 1);
	compute_for(4 * NS_PER_MS);
	ledger_end_for_all(&core, outer);
	assert_true(ledger_of(a) - own >= NS_PER_MS - 1000);
	assert_in_range((ledger_of(b) - NS_PER_S) - 3 * (ledger_of(a) - own), 0, 4);
	assert_true(ledger_of(a) + ledger_of(b) - NS_PER_S <= clock_thread_cpu_ns() - begun_ns);
}

static void test_ledger_leaves_to_the_daemon_what_is_nobodys(void **state)
{
	struct target *off = add(1, 100), *gone = add(2, 100);
	const struct ledger_stretch stretch = ledger_begin(&core);

	(void)state;
	off->policy.mode = MODE_OFF;
	gone->mapped = false;
	compute_for(NS_PER_MS);
	ledger_end_for_all(&core, stretch);
	assert_int_equal(ledger_of(off) + ledger_of(gone), 0);
}

static void test_ledger_burst_is_paid_by_those_ksmd_worked_for(void **state)
{
	struct target *fresh = add(1, 1), *old = add(2, 1), *none = add(3, 1),
		      *observed = add(4, 1);

	(void)state;
	(void)strcpy(core.active_group, "web");
	fresh->guest.map.extents[0].marked = fresh->guest.map.extents[0].fresh = true;
	fresh->burst_pss_bytes = 500 * PAGE_BYTES;
	old->guest.map.extents[0].marked = true;
	old->guest.map.extents[0].folded = 500;
	observed->policy.mode = MODE_OBSERVE;
	observed->guest.map.extents[1].marked = true;
	observed->guest.map.extents[1].folded = 500;
	ledger_burst_begins(&core);
	fresh->burst_pss_bytes = 0;
	ledger_burst_ended(&core, 2, NS_PER_S);
	assert_int_equal(ledger_of(none), 0);
	assert_true(ledger_of(old) > 0);
	assert_in_range(
		ledger_of(old) + 1 - ledger_of(observed), 0, 2); /* but for what does not divide */
	assert_true(ledger_of(fresh) > 5 * ledger_of(old));
	assert_int_equal(ledger_of(fresh) + ledger_of(old) + ledger_of(observed), NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define LEDGER_TEST(name) cmocka_unit_test_teardown(name, teardown)
		LEDGER_TEST(test_ledger_divides_by_weight_and_loses_nothing),
		LEDGER_TEST(test_ledger_shares_add_up_whatever_does_not_divide),
		LEDGER_TEST(test_ledger_charges_a_stretch_to_the_one_it_was_for),
		LEDGER_TEST(test_ledger_charges_nothing_twice),
		LEDGER_TEST(test_ledger_leaves_to_the_daemon_what_is_nobodys),
		LEDGER_TEST(test_ledger_burst_is_paid_by_those_ksmd_worked_for),
	};

	return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
