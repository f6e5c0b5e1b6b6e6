// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/breaks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define G FOLD_GONE
#define O FOLD_OWN
#define K FOLD_KSM
#define Z FOLD_ZERO

#define LOOKS_MOST 4

/* One page through its looks; the first one is before the mark. */
struct history {
	uint8_t looks[LOOKS_MOST];
	uint64_t ksm, zero; /* breaks, in all */
};

static const struct history histories[] = {
	{ { O, O, O, O }, 0, 0 },
	{ { O, K, K, K }, 0, 0 },
	{ { O, K, O, O }, 1, 0 }, /* written */
	{ { O, K, O, K }, 1, 0 }, /* and folded again: a break once more only when it breaks once more */
	{ { K, O, K, O }, 2, 0 },
	{ { O, Z, O, O }, 0, 1 },
	{ { O, K, G, G }, 0, 0 }, /* given back */
	{ { O, K, G, O }, 0, 0 }, /* and filled anew, seen in between */
	{ { O, Z, G, Z }, 0, 0 },
	{ { Z, Z, O, O }, 0, 0 }, /* was a zero page before */
	{ { Z, O, Z, O }, 0, 1 }, /* was written, and folded by us since */
	{ { G, Z, O, O }, 0, 0 }, /* a hole that was read */
	{ { O, G, Z, O }, 0, 0 },
	{ { O, K, Z, Z }, 1, 0 }, /* written with zeros and folded, between two looks */
	{ { O, Z, K, O }, 1, 1 },
};

#define HISTORIES (sizeof(histories) / sizeof(*histories))

static void test_breaks_are_what_was_folded_and_is_its_own(void **state)
{
	struct break_counts all = { 0 }, expected = { 0 };
	struct fold_memory memory;
	uint8_t folds[EXTENT_PAGES];

	(void)state;
	for (size_t look = 0; look < LOOKS_MOST; look++) {
		for (unsigned page = 0; page < EXTENT_PAGES; page++)
			folds[page] = histories[page % HISTORIES].looks[look];
		if (look == 0)
			breaks_begin(&memory, folds, EXTENT_PAGES);
		else
			breaks_look(&memory, folds, EXTENT_PAGES, false, &all);
	}
	for (unsigned page = 0; page < EXTENT_PAGES; page++) {
		expected.ksm += histories[page % HISTORIES].ksm;
		expected.zero += histories[page % HISTORIES].zero;
	}
	assert_int_equal(all.ksm, expected.ksm);
	assert_int_equal(all.zero, expected.zero);
}

static void test_breaks_of_each_history_by_itself(void **state)
{
	(void)state;
	for (size_t i = 0; i < HISTORIES; i++) {
		struct break_counts counts = { 0 };
		struct fold_memory memory;

		breaks_begin(&memory, histories[i].looks, 1);
		for (size_t look = 1; look < LOOKS_MOST; look++)
			breaks_look(&memory, &histories[i].looks[look], 1, false, &counts);
		if (counts.ksm != histories[i].ksm || counts.zero != histories[i].zero)
			fail_msg("history %zu: %d and %d", i, (int)counts.ksm, (int)counts.zero);
	}
}

/* As after a restart: what is there at the first look is folded, whoever saw it. */
static void test_breaks_begin_with_the_first_look(void **state)
{
	uint8_t folds[4] = { K, Z, O, G };
	struct fold_memory memory = { 0 };
	struct break_counts counts = { 0 };

	(void)state;
	breaks_look(&memory, folds, 4, false, &counts);
	assert_int_equal(counts.ksm + counts.zero, 0);
	memset(folds, O, sizeof(folds));
	breaks_look(&memory, folds, 4, false, &counts);
	assert_int_equal(counts.ksm, 1);
	assert_int_equal(counts.zero, 1);
}

static void test_breaks_are_none_where_the_kernel_collapsed_or_we_unfolded(void **state)
{
	uint8_t folds[EXTENT_PAGES];
	struct fold_memory memory = { 0 };
	struct break_counts counts = { 0 };

	(void)state;
	memset(folds, K, sizeof(folds));
	breaks_look(&memory, folds, EXTENT_PAGES, false, &counts);
	breaks_forget_run(&memory, 100, 12);
	memset(folds + 90, O, 32);
	breaks_look(&memory, folds, EXTENT_PAGES, false, &counts);
	assert_int_equal(counts.ksm, 20);
	memset(folds, O, sizeof(folds));
	breaks_look(&memory, folds, EXTENT_PAGES, true, &counts);
	assert_int_equal(counts.ksm, 20);
	breaks_look(&memory, folds, EXTENT_PAGES, false, &counts);
	assert_int_equal(counts.ksm, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_breaks_are_what_was_folded_and_is_its_own),
		cmocka_unit_test(test_breaks_of_each_history_by_itself),
		cmocka_unit_test(test_breaks_begin_with_the_first_look),
		cmocka_unit_test(test_breaks_are_none_where_the_kernel_collapsed_or_we_unfolded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
