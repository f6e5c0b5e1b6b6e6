// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/tally.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "daemon/heir_frames.h"

static struct folded_page page_of(uint64_t number, uint32_t mappings)
{
	return (struct folded_page){ .number = number, .mappings = mappings, .before = 1 };
}

static void add(struct tally *tally, struct folded_page page, unsigned times)
{
	while (times--)
		tally_add_folded(tally, &page);
}

static void assert_pages(double value, double expected)
{
	assert_float_equal(value, expected, 1e-9);
}

/* ---- frames ---- */

static void test_frame_is_new_once(void **state)
{
	static const uint64_t numbers[] = { 1, 0x7fff, 0x8000, 0x8001, 123456789, 1 << 24 };
	struct frame_set set = { 0 };

	(void)state;
	for (int look = 0; look < 2; look++)
		for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
			assert_int_equal(frame_set_add(&set, numbers[i]), look ? 0 : 1);
	assert_int_equal(frame_set_add(&set, 2), 1);
	frame_set_done(&set);
	assert_int_equal(frame_set_add(&set, 1), 1);
	frame_set_done(&set);
}

static void test_frame_beyond_all_memory_is_refused(void **state)
{
	struct frame_set set = { 0 };

	(void)state;
	assert_int_equal(frame_set_add(&set, UINT64_MAX), -ERANGE);
	assert_null(set.leaves);
	frame_set_done(&set);
}

/* ---- whose twins ---- */

static void test_tally_own_twins_are_all_but_one(void **state)
{
	struct tally tally = { 0 };

	(void)state;
	add(&tally, page_of(7, 5), 5);
	assert_pages(tally.saved_pages, 4);
	assert_pages(tally.self_pages, 4);
	assert_pages(tally.exposed_pages, 4);
	assert_false(tally.hidden);
	tally_done(&tally);
}

static void test_tally_single_twins_of_others_are_all_cross(void **state)
{
	struct tally tally = { 0 };

	(void)state;
	add(&tally, page_of(7, 4), 1);
	add(&tally, page_of(8, 2), 1);
	assert_pages(tally.saved_pages, 0.75 + 0.5);
	assert_pages(tally.self_pages, 0);
	tally_done(&tally);
}

/* Three in one, one in the other: as the estimate's own example, three pages are saved and two of them within. */
static void test_tally_of_all_sharers_adds_up_to_the_mappings_less_one(void **state)
{
	struct tally a = { 0 }, b = { 0 };

	(void)state;
	add(&a, page_of(7, 4), 3);
	add(&b, page_of(7, 4), 1);
	assert_pages(a.saved_pages + b.saved_pages, 3);
	assert_pages(a.self_pages, 2);
	assert_pages(b.self_pages, 0);
	assert_pages(a.saved_pages - a.self_pages + b.saved_pages - b.self_pages, 1);
	tally_done(&a);
	tally_done(&b);
}

/* Four processes had the page by fork before: it takes all their folds to save what is less than a page each. */
static void test_tally_what_fork_shared_before_is_no_saving(void **state)
{
	struct folded_page page = page_of(7, 4);
	struct tally tally = { 0 };

	(void)state;
	page.before = 4;
	add(&tally, page, 1);
	assert_pages(tally.saved_pages, 0);
	assert_pages(tally.exposed_pages, 0.75);
	page = page_of(8, 8); /* two such pages of every one of the four */
	page.before = 4;
	add(&tally, page, 2);
	assert_pages(tally.saved_pages, 2 * (0.25 - 0.125));
	assert_pages(tally.self_pages, 0.25);
	tally_done(&tally);
}

static void test_tally_mappings_of_heirs_save_nothing(void **state)
{
	struct folded_page page = page_of(7, 6);
	struct tally tally = { 0 };

	(void)state;
	page.inherited = 3;
	add(&tally, page, 3);
	assert_pages(tally.saved_pages, 2);
	assert_pages(tally.self_pages, 2);
	/* But all six may be written to. */
	assert_pages(tally.exposed_pages, 3 * (1 - 1.0 / 6));
	tally_done(&tally);
}

static void test_tally_what_a_fork_handed_on_is_exposed_and_saves_nothing(void **state)
{
	struct folded_page page = page_of(7, 4);
	struct tally tally = { 0 };

	(void)state;
	page.before = SHARED_BY_FORK;
	page.inherited = 2;
	add(&tally, page, 2);
	assert_pages(tally.saved_pages, 0);
	assert_pages(tally.self_pages, 0);
	assert_pages(tally.exposed_pages, 1.5);
	tally_done(&tally);
}

/* An heir may have ended, or its pages broken, between two looks. */
static void test_tally_more_heirs_than_mappings_is_no_saving(void **state)
{
	struct folded_page page = page_of(7, 2);
	struct tally tally = { 0 };

	(void)state;
	page.inherited = 9;
	add(&tally, page, 1);
	assert_pages(tally.saved_pages, 0);
	tally_done(&tally);
}

static void test_tally_hidden_frames_are_not_known(void **state)
{
	struct tally tally = { 0 };

	(void)state;
	add(&tally, page_of(0, 2), 2);
	assert_true(tally.hidden);
	assert_pages(tally.saved_pages, 1);
	tally_done(&tally);
	assert_false(tally.hidden);
}

static void test_tally_of_a_vm_leaves_out_the_zero_page(void **state)
{
	static const uint64_t numbers[] = { 1, 1, 1, 50, 51, 51 }; /* 1: the zero page */
	struct tally tally = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		(void)tally_see(&tally, numbers[i]);
	assert_int_equal(tally.frames, 3);
	assert_int_equal(tally_self_pages(&tally, 3, true), 1);
	assert_int_equal(tally_self_pages(&tally, 6, false), 3);
	assert_int_equal(tally_self_pages(&tally, 1, true), 0); /* less than was seen: something broke */
	tally_done(&tally);
}

/* ---- heirs' mappings ---- */

static void test_heir_frames_are_counted_by_number(void **state)
{
	struct heir_frames frames = { 0 };

	(void)state;
	assert_int_equal(heir_frames_mappings(&frames, 5), 0);
	for (uint64_t i = 0; i < 5000; i++)
		assert_int_equal(heir_frames_add(&frames, i % 7 ? i : 70000), 0);
	assert_int_equal(heir_frames_mappings(&frames, 70000), 715);
	assert_int_equal(heir_frames_mappings(&frames, 7), 0);
	assert_int_equal(heir_frames_mappings(&frames, 8), 1);
	assert_int_equal(heir_frames_add(&frames, 8), 0);
	assert_int_equal(heir_frames_mappings(&frames, 8), 2);
	assert_int_equal(heir_frames_mappings(&frames, 80000), 0);
	heir_frames_done(&frames);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame_is_new_once),
		cmocka_unit_test(test_frame_beyond_all_memory_is_refused),
		cmocka_unit_test(test_tally_own_twins_are_all_but_one),
		cmocka_unit_test(test_tally_single_twins_of_others_are_all_cross),
		cmocka_unit_test(test_tally_of_all_sharers_adds_up_to_the_mappings_less_one),
		cmocka_unit_test(test_tally_what_fork_shared_before_is_no_saving),
		cmocka_unit_test(test_tally_mappings_of_heirs_save_nothing),
		cmocka_unit_test(test_tally_what_a_fork_handed_on_is_exposed_and_saves_nothing),
		cmocka_unit_test(test_tally_more_heirs_than_mappings_is_no_saving),
		cmocka_unit_test(test_tally_hidden_frames_are_not_known),
		cmocka_unit_test(test_tally_of_a_vm_leaves_out_the_zero_page),
		cmocka_unit_test(test_heir_frames_are_counted_by_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
