// SPDX-License-Identifier: GPL-2.0-or-later
#include "hashing/page_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static void test_page_set_next_goes_through_the_pages_in_order(void **state)
{
	static const unsigned pages[] = { 0, 1, 63, 64, 200, 511 };
	struct page_set set = { 0 };
	unsigned page = 0;

	(void)state;
	assert_int_equal(page_set_next(&set, 0), EXTENT_PAGES);
	for (unsigned i = 0; i < 6; i++)
		page_set_add(&set, pages[i]);
	for (unsigned i = 0; i < 6; i++, page++) {
		page = page_set_next(&set, page);
		assert_int_equal(page, pages[i]);
		assert_true(page_set_has(&set, page));
	}
	assert_int_equal(page_set_next(&set, page), EXTENT_PAGES);
	assert_int_equal(page_set_next(&set, EXTENT_PAGES), EXTENT_PAGES);
	assert_int_equal(page_set_count(&set), 6);
	assert_false(page_set_has(&set, 2));
}

static void test_page_set_runs_add_up(void **state)
{
	struct page_set set = { 0 }, all = { 0 }, rest, both, either;

	(void)state;
	page_set_add_run(&set, 60, 10);
	assert_int_equal(page_set_count(&set), 10);
	assert_int_equal(page_set_next(&set, 0), 60);
	assert_false(page_set_has(&set, 70));
	page_set_add_run(&all, 0, EXTENT_PAGES);
	assert_int_equal(page_set_count(&all), EXTENT_PAGES);
	rest = page_set_without(&all, &set);
	assert_int_equal(page_set_count(&rest), EXTENT_PAGES - 10);
	both = page_set_both(&rest, &set);
	assert_int_equal(page_set_count(&both), 0);
	either = page_set_either(&rest, &set);
	assert_memory_equal(&either, &all, sizeof(all));
}

static void test_page_set_read_is_what_is_not_absent(void **state)
{
	struct extent_prints prints = { 0 };
	struct page_set set;

	(void)state;
	extent_prints_set_state(&prints, 3, PAGE_ZERO);
	extent_prints_set_state(&prints, 4, PAGE_SINGLE);
	extent_prints_set_state(&prints, 511, PAGE_TWIN);
	set = page_set_read(&prints);
	assert_int_equal(page_set_count(&set), 3);
	assert_true(page_set_has(&set, 3) && page_set_has(&set, 4) && page_set_has(&set, 511));
}

static void test_page_set_sample_of_few_is_all_of_them(void **state)
{
	struct page_set set = { 0 }, sample;
	uint64_t random = 1;

	(void)state;
	sample = page_set_sample(&set, 32, &random);
	assert_int_equal(page_set_count(&sample), 0);
	page_set_add_run(&set, 100, 32);
	sample = page_set_sample(&set, 32, &random);
	assert_memory_equal(&sample, &set, sizeof(set));
}

/* 20,000 samples of 32 from 256 pages: each page 2,500 times, with a standard deviation of 47. */
static void test_page_set_sample_prefers_no_page(void **state)
{
	unsigned often[EXTENT_PAGES] = { 0 };
	struct page_set set = { 0 };
	uint64_t random = 42;

	(void)state;
	for (unsigned page = 0; page < EXTENT_PAGES; page += 2)
		page_set_add(&set, page);
	for (unsigned i = 0; i < 20000; i++) {
		const struct page_set sample = page_set_sample(&set, 32, &random);

		assert_int_equal(page_set_count(&sample), 32);
		for (unsigned page = 0; page < EXTENT_PAGES; page++)
			often[page] += page_set_has(&sample, page);
	}
	for (unsigned page = 0; page < EXTENT_PAGES; page++)
		if (page % 2)
			assert_int_equal(often[page], 0);
		else
			assert_in_range(often[page], 2500 - 6 * 47, 2500 + 6 * 47);
}

/* The figures in pagefold-merging(7) of what a sample misses. */
static void test_page_set_sample_misses_changes_as_often_as_the_manual_says(void **state)
{
	static const struct {
		unsigned changed, percent;
	} table[] = { { 8, 60 }, { 32, 12 }, { 64, 1 } };
	struct page_set all = { 0 };
	uint64_t random = 7;

	(void)state;
	page_set_add_run(&all, 0, EXTENT_PAGES);
	for (unsigned i = 0; i < 3; i++) {
		struct page_set changed = { 0 };
		unsigned missed = 0;

		page_set_add_run(&changed, 100, table[i].changed);
		for (unsigned n = 0; n < 20000; n++) {
			struct page_set sample = page_set_sample(&all, 32, &random);

			sample = page_set_both(&sample, &changed);
			missed += !page_set_count(&sample);
		}
		assert_in_range(missed, table[i].percent * 200 - 200, table[i].percent * 200 + 200);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_page_set_next_goes_through_the_pages_in_order),
		cmocka_unit_test(test_page_set_runs_add_up),
		cmocka_unit_test(test_page_set_read_is_what_is_not_absent),
		cmocka_unit_test(test_page_set_sample_of_few_is_all_of_them),
		cmocka_unit_test(test_page_set_sample_prefers_no_page),
		cmocka_unit_test(test_page_set_sample_misses_changes_as_often_as_the_manual_says),
	};

	return cmocka_run_group_tests_name("page_set", tests, NULL, NULL);
}
