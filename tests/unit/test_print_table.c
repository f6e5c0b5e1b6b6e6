// SPDX-License-Identifier: GPL-2.0-or-later
#include "hashing/print_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#define MANY 100000u

/* Odd multiples of an odd number: all different, and nowhere in order. */
static uint64_t print_number(uint64_t number)
{
	return number * UINT64_C(0x5851F42D4C957F2D) & ((UINT64_C(1) << 48) - 1);
}

static void test_table_tells_what_was_added_twice(void **state)
{
	struct print_table table;

	(void)state;
	assert_int_equal(print_table_init(&table, 3 * MANY / 2), 0);
	for (uint64_t i = 0; i < MANY; i++)
		print_table_add(&table, print_number(i));
	for (uint64_t i = 0; i < MANY; i += 2)
		print_table_add(&table, print_number(i));
	for (uint64_t i = 0; i < MANY; i++)
		assert_int_equal(print_table_repeats(&table, print_number(i)), i % 2 == 0);
	print_table_done(&table);
}

static void test_table_holds_the_fingerprint_of_nothing_but_zero_bits(void **state)
{
	struct print_table table;

	(void)state;
	assert_int_equal(print_table_init(&table, 0), 0);
	print_table_add(&table, 0);
	assert_false(print_table_repeats(&table, 0));
	print_table_add(&table, 0);
	assert_true(print_table_repeats(&table, 0));
	assert_false(print_table_repeats(&table, 1));
	print_table_done(&table);
}

static void test_table_meets_what_passes_by_and_does_not_keep_it(void **state)
{
	struct extent_prints *prints = extent_prints_new();
	struct print_table table;

	(void)state;
	assert_non_null(prints);
	assert_int_equal(print_table_init(&table, 4), 0);
	for (uint64_t i = 0; i < 4; i++)
		print_table_add(&table, print_number(i));
	for (unsigned page = 0; page < 3; page++) {
		extent_prints_set(prints, page, print_number(page));
		extent_prints_set_state(prints, page, page == 2 ? PAGE_ABSENT : PAGE_SINGLE);
	}
	extent_prints_set(prints, 500, print_number(77));
	extent_prints_set_state(prints, 500, PAGE_TWIN);
	print_table_pass(&table, prints);
	print_table_pass(&table, prints);
	assert_true(print_table_repeats(&table, print_number(0)));
	assert_true(print_table_repeats(&table, print_number(1)));
	assert_false(print_table_repeats(&table, print_number(2))); /* is not there */
	assert_false(print_table_repeats(&table, print_number(3)));
	assert_false(print_table_repeats(&table, print_number(77)));
	extent_prints_free(prints);
	print_table_done(&table);
}

/* Fingerprints that all belong into one slot, as a guest could choose them. */
static void test_table_does_not_search_for_long_where_somebody_crowds_it(void **state)
{
	const uint64_t inverse = UINT64_C(0xF1DE83E19937733D); /* of the multiplier, modulo 2^64 */
	struct print_table table;
	uint64_t crowd = 0, lost = 0;

	(void)state;
	assert_true(inverse * UINT64_C(0x9E3779B97F4A7C15) == 1);
	assert_int_equal(print_table_init(&table, MANY), 0);
	for (uint64_t low = 0; crowd < 1000; low++) {
		const uint64_t print = low * inverse; /* multiplied it is low: slot 0 */

		if (print >> 48)
			continue;
		crowd++;
		print_table_add(&table, print);
		lost += print_table_repeats(&table, print);
	}
	/* Said to repeat: then they are read, and it is known. */
	assert_in_range(lost, 1000 - 64, 1000 - 64);
	print_table_done(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_tells_what_was_added_twice),
		cmocka_unit_test(test_table_holds_the_fingerprint_of_nothing_but_zero_bits),
		cmocka_unit_test(test_table_meets_what_passes_by_and_does_not_keep_it),
		cmocka_unit_test(test_table_does_not_search_for_long_where_somebody_crowds_it),
	};

	return cmocka_run_group_tests_name("print_table", tests, NULL, NULL);
}
