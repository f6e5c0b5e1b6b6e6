// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/canary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#define PAIR_BYTES ((size_t)64 * 4096)

static void test_canary_is_silent_before_anything_was_folded(void **state)
{
	struct canary canary = { 0 };
	struct host_root root;
	uint64_t ns = 42;

	(void)state;
	assert_int_equal(host_root_open("", &root), 0);
	canary_sample(&canary, &root);
	assert_false(canary_percentile_ns(&canary, 50, &ns));
	assert_int_equal(ns, 42);
	assert_null(canary.memory);
	canary_done(&canary);
	host_root_done(&root);
}

static void test_canary_pages_are_pairs_like_nothing_else(void **state)
{
	struct canary one = { 0 }, other = { 0 };

	(void)state;
	canary_offer(&one);
	canary_offer(&other);
	if (!one.left) {
		print_message("SKIP: this kernel has no KSM\n");
		skip();
	}
	assert_memory_equal(one.memory, one.memory + PAIR_BYTES, PAIR_BYTES);
	for (size_t i = 0; i < PAIR_BYTES; i += 4096)
		for (size_t j = 0; j < PAIR_BYTES; j += 4096) {
			assert_true(i == j || memcmp(one.memory + i, one.memory + j, 4096) != 0);
			assert_memory_not_equal(one.memory + i, other.memory + j, 4096);
		}
	canary_done(&one);
	canary_done(&other);
	assert_null(one.memory);
}

/* Nothing folds here: a page that is none of KSM's takes a write for nothing. */
static void test_canary_measures_folded_pages_only_and_keeps_what_is_in_them(void **state)
{
	unsigned char before[PAIR_BYTES];
	struct canary canary = { 0 };
	struct host_root root;

	(void)state;
	assert_int_equal(host_root_open("", &root), 0);
	canary_offer(&canary);
	if (!canary.left) {
		print_message("SKIP: this kernel has no KSM\n");
		skip();
	}
	memcpy(before, canary.memory, PAIR_BYTES);
	canary_sample(&canary, &root);
	assert_int_equal(canary.taken, 0);
	assert_int_equal(canary.left, 0);
	assert_memory_equal(before, canary.memory, PAIR_BYTES);
	canary_done(&canary);
	host_root_done(&root);
}

static void test_canary_percentiles_are_of_the_last_thousand(void **state)
{
	static const struct {
		uint64_t taken;
		unsigned percent;
		uint64_t expected;
	} cases[] = {
		{ 1, 50, 1 }, { 1, 99, 1 }, { 2, 50, 1 }, { 2, 99, 2 }, { 100, 50, 50 },
		{ 100, 99, 99 }, { 1024, 50, 512 }, { 1024, 99, 1014 }, { 5000, 50, 512 },
	};
	struct canary canary = { 0 };
	uint64_t ns;

	(void)state;
	for (uint32_t i = 0; i < CANARY_SAMPLES; i++) /* not in order: 5 has no factor in common with 1024 */
		canary.ns[i] = (i * 5 + 1) % CANARY_SAMPLES + 1;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct canary some = canary;

		for (uint32_t n = 0; cases[i].taken < CANARY_SAMPLES && n < cases[i].taken; n++)
			some.ns[n] = (uint32_t)cases[i].taken - n;
		some.taken = cases[i].taken;
		assert_true(canary_percentile_ns(&some, cases[i].percent, &ns));
		assert_int_equal(ns, cases[i].expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canary_is_silent_before_anything_was_folded),
		cmocka_unit_test(test_canary_pages_are_pairs_like_nothing_else),
		cmocka_unit_test(test_canary_measures_folded_pages_only_and_keeps_what_is_in_them),
		cmocka_unit_test(test_canary_percentiles_are_of_the_last_thousand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
