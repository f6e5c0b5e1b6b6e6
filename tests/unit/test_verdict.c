// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "daemon/snapshot.h"

#define GIB (INT64_C(1) << 30)

/* A second of CPU an hour is worth 1 MiB here. */
static const struct verdict_host host = { .memory_bytes = 3600LL << 20, .cpus = 1 };
static const int64_t even_bytes = 1 << 20;

static struct verdict_costs costs_of(double cpu, double stall)
{
	struct verdict_costs costs = { 0 };

	verdict_costs_note(&costs, NS_PER_S, cpu, stall);
	return costs;
}

static enum verdict_word word_after(
	enum verdict_word before, double cpu, double stall, int64_t net_bytes)
{
	const struct verdict_costs costs = costs_of(cpu, stall);
	struct verdict verdict;

	verdict_init(&verdict);
	verdict.word = before;
	verdict_judge(&verdict, &costs, net_bytes, &host);
	return verdict.word;
}

static void test_verdict_by_what_it_gives_and_takes(void **state)
{
	static const struct {
		double cpu, stall;
		int64_t mib;
		enum verdict_word before, word;
	} cases[] = {
		{ 10, -1, 20, VERDICT_UNKNOWN, VERDICT_WORTH_IT },
		{ 10, -1, 19, VERDICT_UNKNOWN, VERDICT_MARGINAL },
		{ 10, -1, 10, VERDICT_UNKNOWN, VERDICT_MARGINAL },
		{ 10, -1, 9, VERDICT_UNKNOWN, VERDICT_COSTS_MORE },
		{ 10, -1, 0, VERDICT_UNKNOWN, VERDICT_COSTS_MORE },
		{ 10, -1, -100, VERDICT_WORTH_IT, VERDICT_COSTS_MORE },
		/* Whoever is over a line stays there, but for a quarter. */
		{ 10, -1, 17, VERDICT_WORTH_IT, VERDICT_WORTH_IT },
		{ 10, -1, 15, VERDICT_WORTH_IT, VERDICT_MARGINAL },
		{ 10, -1, 12, VERDICT_COSTS_MORE, VERDICT_COSTS_MORE },
		{ 10, -1, 13, VERDICT_COSTS_MORE, VERDICT_MARGINAL },
		/* A second that a guest waits counts as four. */
		{ 10, 0, 20, VERDICT_UNKNOWN, VERDICT_WORTH_IT },
		{ 10, 5, 59, VERDICT_UNKNOWN, VERDICT_MARGINAL },
		{ 10, 5, 29, VERDICT_UNKNOWN, VERDICT_COSTS_MORE },
		/* What costs nothing is worth whatever it gives. */
		{ 0, 0, 1, VERDICT_UNKNOWN, VERDICT_WORTH_IT },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(word_after(cases[i].before, cases[i].cpu, cases[i].stall,
					 cases[i].mib * even_bytes),
			cases[i].word);
}

static void test_verdict_numbers_are_the_quotients(void **state)
{
	const struct verdict_costs costs = costs_of(8, 2);
	struct verdict verdict;

	(void)state;
	verdict_init(&verdict);
	verdict_judge(&verdict, &costs, 80 * even_bytes, &host);
	assert_int_equal(verdict.net_bytes, 80 * even_bytes);
	assert_int_equal(verdict.bytes_per_cpu_second, 10 * even_bytes);
	assert_int_equal(verdict.bytes_per_stall_second, 40 * even_bytes);
	assert_int_equal(verdict.break_even_bytes, even_bytes);
}

static void test_verdict_says_nothing_of_what_is_not_known(void **state)
{
	const struct verdict_costs unmeasured = costs_of(8, -1), none = { 0 };
	const struct verdict_host nothing = { NOT_MEASURED, 4 };
	struct verdict verdict;

	(void)state;
	verdict_init(&verdict);
	verdict_judge(&verdict, &unmeasured, GIB, &host);
	assert_true(verdict.stall_seconds_per_hour < 0);
	assert_int_equal(verdict.bytes_per_stall_second, NOT_MEASURED);
	assert_int_equal(verdict.word, VERDICT_WORTH_IT);

	verdict_judge(&verdict, &unmeasured, NOT_MEASURED, &host);
	assert_int_equal(verdict.word, VERDICT_UNKNOWN);
	assert_int_equal(verdict.net_bytes, NOT_MEASURED);
	assert_null(verdict_text(&verdict));
	verdict_judge(&verdict, &none, GIB, &host);
	assert_int_equal(verdict.word, VERDICT_UNKNOWN);
	verdict_judge(&verdict, &unmeasured, GIB, &nothing);
	assert_int_equal(verdict.word, VERDICT_UNKNOWN);
	assert_int_equal(verdict.break_even_bytes, NOT_MEASURED);
	assert_null(verdict_word_name(verdict.word));
}

static void test_verdict_costs_of_a_steady_rate_are_those_of_an_hour(void **state)
{
	struct verdict_costs costs = { 0 };

	(void)state;
	for (uint64_t s = 1; s <= 36000; s += 10)
		verdict_costs_note(&costs, s * NS_PER_S, (double)s * 0.01, (double)s * 0.001);
	assert_true(costs.cpu_per_hour > 35.5 && costs.cpu_per_hour < 36.5);
	assert_true(costs.stall_per_hour > 3.55 && costs.stall_per_hour < 3.65);
	/* And an hour after it has stopped a third of it. */
	verdict_costs_note(&costs, 39600 * NS_PER_S, costs.cpu_seconds, costs.stall_seconds);
	assert_true(costs.cpu_per_hour > 12.5 && costs.cpu_per_hour < 14);
}

/* All that was stalled before it was measured is not this hour's; and a counter that fell is
 * another one. */
static void test_verdict_costs_of_counters_that_jump(void **state)
{
	struct verdict_costs costs = { 0 };

	(void)state;
	verdict_costs_note(&costs, NS_PER_S, 5, -1);
	verdict_costs_note(&costs, 2 * NS_PER_S, 4, 1000);
	assert_true(costs.cpu_per_hour <= 5);
	assert_true(costs.stall_per_hour < 1);
	verdict_costs_note(&costs, 3 * NS_PER_S, 4, 1001);
	assert_true(costs.stall_per_hour > 0.9 && costs.stall_per_hour < 1.1);
}

static void test_verdict_text_has_the_numbers(void **state)
{
	const struct verdict_costs costs = costs_of(8, 2);
	_cleanup_free_ char *text = NULL;
	struct verdict verdict;

	(void)state;
	verdict_init(&verdict);
	verdict_judge(&verdict, &costs, 80 * even_bytes, &host);
	text = verdict_text(&verdict);
	assert_non_null(text);
	assert_non_null(strstr(text, "80.0 MiB net for 8.00 s of CPU"));
	assert_non_null(strstr(text, "2.000 s of delay"));
	assert_non_null(strstr(text, "worth 1.0 MiB"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdict_by_what_it_gives_and_takes),
		cmocka_unit_test(test_verdict_numbers_are_the_quotients),
		cmocka_unit_test(test_verdict_says_nothing_of_what_is_not_known),
		cmocka_unit_test(test_verdict_costs_of_a_steady_rate_are_those_of_an_hour),
		cmocka_unit_test(test_verdict_costs_of_counters_that_jump),
		cmocka_unit_test(test_verdict_text_has_the_numbers),
	};

	return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
