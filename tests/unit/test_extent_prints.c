// SPDX-License-Identifier: GPL-2.0-or-later
#include "hashing/extent_prints.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "common/cleanup.h"
#include "hashing/page_fingerprint.h"

#define ANY_PRINT UINT64_C(0x0123456789ab)

static enum page_state state_of(unsigned page)
{
	return (enum page_state)(page * 7 / 3 % 4);
}

static uint64_t print_of(unsigned page)
{
	return (page + 1) * UINT64_C(0x9e3779b97f4a) & 0xffffffffffff;
}

static void fill(struct extent_prints *prints)
{
	for (unsigned page = 0; page < EXTENT_PAGES; page++) {
		extent_prints_set(prints, page, print_of(page));
		extent_prints_set_state(prints, page, state_of(page));
	}
}

static void assert_filled_but(const struct extent_prints *prints, unsigned other)
{
	for (unsigned page = 0; page < EXTENT_PAGES; page++) {
		if (page == other)
			continue;
		assert_int_equal(extent_prints_get(prints, page), print_of(page));
		assert_int_equal(extent_prints_state(prints, page), state_of(page));
	}
}

static void test_extent_takes_6_25_bytes_per_page(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct extent_prints) * 100, EXTENT_PAGES * 625);
}

static void test_print_and_state_of_one_page_leave_all_others_alone(void **state)
{
	static const uint64_t prints_to_try[] = { 0, 1, ANY_PRINT, UINT64_C(0xffffffffffff) };
	struct extent_prints prints;

	(void)state;
	memset(&prints, 0xa5, sizeof(prints));
	fill(&prints);
	assert_filled_but(&prints, EXTENT_PAGES);
	for (unsigned page = 0; page < EXTENT_PAGES; page++) {
		for (unsigned i = 0; i < ARRAY_SIZE(prints_to_try); i++) {
			extent_prints_set(&prints, page, prints_to_try[i]);
			extent_prints_set_state(&prints, page, (enum page_state)i);
			assert_int_equal(extent_prints_get(&prints, page), prints_to_try[i]);
			assert_int_equal(extent_prints_state(&prints, page), i);
		}
		assert_filled_but(&prints, page);
		extent_prints_set(&prints, page, print_of(page));
		extent_prints_set_state(&prints, page, state_of(page));
	}
}

static void test_only_48_bits_of_a_print_are_kept(void **state)
{
	struct extent_prints prints = { 0 };

	(void)state;
	extent_prints_set(&prints, EXTENT_PAGES - 1, UINT64_C(0xbeef) << 48 | ANY_PRINT);
	assert_int_equal(extent_prints_get(&prints, EXTENT_PAGES - 1), ANY_PRINT);
}

static void test_page_read_is_zero_or_single(void **state)
{
	struct extent_prints prints = { 0 };
	uint8_t bytes[FINGERPRINT_PAGE_BYTES] = { 0 };

	(void)state;
	extent_prints_set(&prints, 9, ANY_PRINT);
	extent_prints_set_state(&prints, 9, PAGE_TWIN);
	extent_prints_read(&prints, 9, bytes, 0);
	assert_int_equal(extent_prints_state(&prints, 9), PAGE_ZERO);
	assert_int_equal(extent_prints_get(&prints, 9), 0);

	bytes[4095] = 1;
	extent_prints_read(&prints, 9, bytes, 0);
	assert_int_equal(extent_prints_state(&prints, 9), PAGE_SINGLE);
	assert_int_equal(extent_prints_get(&prints, 9), page_fingerprint(bytes));
	assert_int_equal(extent_prints_state(&prints, 8), PAGE_ABSENT);
	assert_int_equal(extent_prints_state(&prints, 10), PAGE_ABSENT);
}

static void test_page_read_apart_is_nobody_s_twin(void **state)
{
	struct extent_prints prints = { 0 };
	uint8_t bytes[FINGERPRINT_PAGE_BYTES] = { 0 };

	(void)state;
	extent_prints_read(&prints, 0, bytes, 3);
	assert_int_equal(extent_prints_state(&prints, 0), PAGE_ZERO);
	assert_int_equal(extent_prints_get(&prints, 0), 0);

	bytes[17] = 1;
	for (unsigned apart = 0; apart < 256; apart++) {
		extent_prints_read(&prints, apart, bytes, apart);
		assert_true(extent_prints_holds(&prints, apart, bytes, apart));
		assert_false(extent_prints_holds(&prints, apart, bytes, apart + 1));
		for (unsigned before = 0; before < apart; before++)
			assert_int_not_equal(extent_prints_get(&prints, before),
				extent_prints_get(&prints, apart));
	}
	bytes[17] = 2;
	assert_false(extent_prints_holds(&prints, 5, bytes, 5));
}

static void test_changed_is_another_content_or_another_presence(void **state)
{
	static const struct {
		enum page_state then, now;
		uint64_t print_then, print_now;
		unsigned changed;
	} cases[] = {
		{ PAGE_ABSENT, PAGE_ABSENT, 1, 2, 0 },
		{ PAGE_ABSENT, PAGE_ZERO, 1, 1, 1 },
		{ PAGE_ABSENT, PAGE_SINGLE, 1, 1, 1 },
		{ PAGE_ABSENT, PAGE_TWIN, 1, 1, 1 },
		{ PAGE_ZERO, PAGE_ABSENT, 1, 1, 1 },
		{ PAGE_ZERO, PAGE_ZERO, 1, 2, 0 },
		{ PAGE_ZERO, PAGE_SINGLE, 1, 1, 1 },
		{ PAGE_ZERO, PAGE_TWIN, 1, 1, 1 },
		{ PAGE_SINGLE, PAGE_ABSENT, 1, 1, 1 },
		{ PAGE_SINGLE, PAGE_ZERO, 1, 1, 1 },
		{ PAGE_SINGLE, PAGE_SINGLE, 1, 1, 0 },
		{ PAGE_SINGLE, PAGE_SINGLE, 1, 2, 1 },
		{ PAGE_SINGLE, PAGE_TWIN, 1, 1, 0 },
		{ PAGE_SINGLE, PAGE_TWIN, UINT64_C(1) << 47, 0, 1 },
		{ PAGE_TWIN, PAGE_ZERO, 1, 1, 1 },
		{ PAGE_TWIN, PAGE_SINGLE, 1, 1, 0 },
		{ PAGE_TWIN, PAGE_TWIN, 1, 2, 1 },
	};
	struct extent_prints all_then = { 0 }, all_now = { 0 };
	unsigned changed = 0;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct extent_prints then = { 0 }, now = { 0 };
		const unsigned page = (i + 1) * 29;

		extent_prints_set(&then, page, cases[i].print_then);
		extent_prints_set_state(&then, page, cases[i].then);
		extent_prints_set(&now, page, cases[i].print_now);
		extent_prints_set_state(&now, page, cases[i].now);
		assert_int_equal(extent_prints_changed(&then, &now), cases[i].changed);

		extent_prints_set(&all_then, page, cases[i].print_then);
		extent_prints_set_state(&all_then, page, cases[i].then);
		extent_prints_set(&all_now, page, cases[i].print_now);
		extent_prints_set_state(&all_now, page, cases[i].now);
		changed += cases[i].changed;
	}
	assert_int_equal(extent_prints_changed(&all_then, &all_now), changed);
}

static void test_tally_counts_what_the_states_say(void **state)
{
	struct extent_prints prints = { 0 };
	unsigned count[4] = { 0 };
	struct extent_tally tally;

	(void)state;
	fill(&prints);
	for (unsigned page = 0; page < EXTENT_PAGES; page++)
		count[state_of(page)]++;
	tally = extent_prints_tally(&prints);
	assert_int_equal(tally.pages, EXTENT_PAGES - count[PAGE_ABSENT]);
	assert_int_equal(tally.zeros, count[PAGE_ZERO]);
	assert_int_equal(tally.twins, count[PAGE_TWIN]);

	memset(prints.state, 0xff, sizeof(prints.state));
	assert_int_equal(extent_prints_tally(&prints).twins, EXTENT_PAGES);
	memset(prints.state, 0, sizeof(prints.state));
	assert_int_equal(extent_prints_tally(&prints).pages, 0);
}

static void test_forgotten_twins_are_single_and_nothing_else_changes(void **state)
{
	struct extent_prints prints = { 0 };

	(void)state;
	fill(&prints);
	extent_prints_forget_twins(&prints);
	for (unsigned page = 0; page < EXTENT_PAGES; page++) {
		const enum page_state before = state_of(page);

		assert_int_equal(extent_prints_get(&prints, page), print_of(page));
		assert_int_equal(extent_prints_state(&prints, page),
			before == PAGE_TWIN ? PAGE_SINGLE : before);
	}
}

static void test_state_word_holds_32_states_in_order(void **state)
{
	struct extent_prints prints = { 0 };

	(void)state;
	fill(&prints);
	for (unsigned page = 0; page < EXTENT_PAGES; page++) {
		const uint64_t word = extent_prints_state_word(&prints, page / 32);

		assert_int_equal(word >> page % 32 * 2 & 3, state_of(page));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extent_takes_6_25_bytes_per_page),
		cmocka_unit_test(test_print_and_state_of_one_page_leave_all_others_alone),
		cmocka_unit_test(test_only_48_bits_of_a_print_are_kept),
		cmocka_unit_test(test_page_read_is_zero_or_single),
		cmocka_unit_test(test_page_read_apart_is_nobody_s_twin),
		cmocka_unit_test(test_changed_is_another_content_or_another_presence),
		cmocka_unit_test(test_tally_counts_what_the_states_say),
		cmocka_unit_test(test_forgotten_twins_are_single_and_nothing_else_changes),
		cmocka_unit_test(test_state_word_holds_32_states_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
