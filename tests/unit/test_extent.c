// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/extent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "common/cleanup.h"

#define SLOT EXTENT_BYTES
#define BASE (UINT64_C(0x7f0000000000))

static void map_ranges(struct extent_map *map, const struct ram_range *ranges, size_t count)
{
	assert_int_equal(extent_map_update(map, ranges, count), 0);
}

static void assert_extent(const struct extent_map *map, size_t index, uint64_t start, uint64_t end)
{
	assert_true(index < map->count);
	assert_int_equal(map->extents[index].start, start);
	assert_int_equal(map->extents[index].end, end);
}

static void test_extent_aligned_range_is_cut_into_whole_slots(void **state)
{
	const struct ram_range range = { BASE, BASE + 3 * SLOT, RAM_MERGEABLE };
	struct extent_map map = { 0 };

	(void)state;
	map_ranges(&map, &range, 1);
	assert_int_equal(map.count, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_extent(&map, i, BASE + i * SLOT, BASE + (i + 1) * SLOT);
		assert_int_equal(extent_first_page(&map.extents[i]), 0);
		assert_int_equal(extent_pages(&map.extents[i]), EXTENT_PAGES);
	}
	extent_map_done(&map);
}

static void test_extent_ends_of_a_range_are_parts_of_slots(void **state)
{
	const struct ram_range range = { BASE + 5 * PAGE_BYTES, BASE + SLOT + PAGE_BYTES,
		RAM_MERGEABLE };
	struct extent_map map = { 0 };

	(void)state;
	map_ranges(&map, &range, 1);
	assert_int_equal(map.count, 2);
	assert_extent(&map, 0, BASE + 5 * PAGE_BYTES, BASE + SLOT);
	assert_int_equal(extent_first_page(&map.extents[0]), 5);
	assert_int_equal(extent_pages(&map.extents[0]), EXTENT_PAGES - 5);
	assert_extent(&map, 1, BASE + SLOT, BASE + SLOT + PAGE_BYTES);
	assert_int_equal(extent_pages(&map.extents[1]), 1);
	extent_map_done(&map);
}

static void test_extent_two_ranges_in_one_slot_are_two_extents(void **state)
{
	const struct ram_range ranges[] = {
		{ BASE + PAGE_BYTES, BASE + 2 * PAGE_BYTES, RAM_MERGEABLE },
		{ BASE + 4 * PAGE_BYTES, BASE + 6 * PAGE_BYTES, RAM_MERGEABLE },
	};
	struct extent_map map = { 0 };

	(void)state;
	map_ranges(&map, ranges, ARRAY_SIZE(ranges));
	assert_int_equal(map.count, 2);
	assert_extent(&map, 0, BASE + PAGE_BYTES, BASE + 2 * PAGE_BYTES);
	assert_extent(&map, 1, BASE + 4 * PAGE_BYTES, BASE + 6 * PAGE_BYTES);
	extent_map_done(&map);
}

static void test_extent_what_never_merges_is_left_out(void **state)
{
	(void)state;
	for (int verdict = RAM_MERGEABLE + 1; verdict < RAM_VERDICT_COUNT; verdict++) {
		if (verdict == RAM_UFFD)
			continue;
		const struct ram_range ranges[] = {
			{ BASE, BASE + SLOT, (enum ram_verdict)verdict },
			{ BASE + SLOT, BASE + 2 * SLOT, RAM_MERGEABLE },
		};
		struct extent_map map = { 0 };

		map_ranges(&map, ranges, ARRAY_SIZE(ranges));
		assert_int_equal(map.count, 1);
		assert_extent(&map, 0, BASE + SLOT, BASE + 2 * SLOT);
		extent_map_done(&map);
	}
}

static void test_extent_keeps_its_mark_while_userfaultfd_watches_it(void **state)
{
	struct ram_range ranges[] = {
		{ BASE, BASE + SLOT, RAM_MERGEABLE },
		{ BASE + SLOT, BASE + 2 * SLOT, RAM_UFFD },
	};
	struct extent_map map = { 0 };

	(void)state;
	map_ranges(&map, ranges, ARRAY_SIZE(ranges));
	assert_int_equal(map.count, 2);
	assert_false(map.extents[0].watched);
	assert_true(map.extents[1].watched);
	map.extents[0].marked = true;
	ranges[0].verdict = RAM_UFFD;
	ranges[1].verdict = RAM_MERGEABLE;
	assert_int_equal(extent_map_update(&map, ranges, ARRAY_SIZE(ranges)), 0);
	assert_true(map.extents[0].marked && map.extents[0].watched);
	assert_true(!map.extents[1].marked && !map.extents[1].watched);
	extent_map_done(&map);
}

static void test_extent_no_range_is_an_empty_map(void **state)
{
	struct extent_map map = { 0 };

	(void)state;
	map_ranges(&map, NULL, 0);
	assert_int_equal(map.count, 0);
	assert_null(extent_map_find(&map, BASE));
	extent_map_done(&map);
	extent_map_done(&map);
}

static void test_extent_find_knows_every_border(void **state)
{
	const struct ram_range ranges[] = {
		{ BASE + PAGE_BYTES, BASE + 2 * SLOT, RAM_MERGEABLE },
		{ BASE + 4 * SLOT, BASE + 5 * SLOT - PAGE_BYTES, RAM_MERGEABLE },
	};
	static const struct {
		uint64_t address;
		int index; /* -1: none */
	} cases[] = {
		{ 0, -1 },
		{ BASE, -1 },
		{ BASE + PAGE_BYTES - 1, -1 },
		{ BASE + PAGE_BYTES, 0 },
		{ BASE + SLOT - 1, 0 },
		{ BASE + SLOT, 1 },
		{ BASE + 2 * SLOT - 1, 1 },
		{ BASE + 2 * SLOT, -1 },
		{ BASE + 4 * SLOT - 1, -1 },
		{ BASE + 4 * SLOT, 2 },
		{ BASE + 5 * SLOT - PAGE_BYTES - 1, 2 },
		{ BASE + 5 * SLOT - PAGE_BYTES, -1 },
		{ UINT64_MAX, -1 },
	};
	struct extent_map map = { 0 };

	(void)state;
	map_ranges(&map, ranges, ARRAY_SIZE(ranges));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct extent *found = extent_map_find(&map, cases[i].address);

		assert_ptr_equal(
			found, cases[i].index < 0 ? NULL : &map.extents[cases[i].index]);
	}
	extent_map_done(&map);
}

/* Something of everything an extent owns. */
static void extent_fill(struct extent *extent, uint16_t mark)
{
	extent->prints = extent_prints_new();
	extent->shared_before = calloc(1, EXTENT_PAGES);
	assert_non_null(extent->prints);
	assert_non_null(extent->shared_before);
	extent->twins = mark;
	extent->marked = true;
	extent->visits = 3;
}

static void test_extent_update_carries_over_what_has_the_same_bounds(void **state)
{
	const struct ram_range before = { BASE, BASE + 4 * SLOT, RAM_MERGEABLE };
	/* One gone at the start, one cut short, one in a new place at the end. */
	const struct ram_range after[] = {
		{ BASE + SLOT, BASE + 3 * SLOT - PAGE_BYTES, RAM_MERGEABLE },
		{ BASE + 3 * SLOT, BASE + 5 * SLOT, RAM_MERGEABLE },
	};
	struct extent_map map = { 0 };
	struct extent_prints *kept[2];

	(void)state;
	map_ranges(&map, &before, 1);
	for (uint16_t i = 0; i < 4; i++)
		extent_fill(&map.extents[i], (uint16_t)(i + 1));
	kept[0] = map.extents[1].prints;
	kept[1] = map.extents[3].prints;
	map_ranges(&map, after, ARRAY_SIZE(after));
	assert_int_equal(map.count, 4);
	assert_ptr_equal(map.extents[0].prints, kept[0]);
	assert_int_equal(map.extents[0].twins, 2);
	assert_true(map.extents[0].marked);
	assert_null(map.extents[1].prints); /* cut short: another one */
	assert_false(map.extents[1].marked);
	assert_ptr_equal(map.extents[2].prints, kept[1]);
	assert_int_equal(map.extents[2].visits, 3);
	assert_null(map.extents[3].prints);
	assert_int_equal(map.extents[3].visits, 0);
	extent_map_done(&map);
}

static void test_extent_update_to_nothing_and_back_forgets(void **state)
{
	const struct ram_range range = { BASE, BASE + 2 * SLOT, RAM_MERGEABLE };
	struct extent_map map = { 0 };

	(void)state;
	map_ranges(&map, &range, 1);
	extent_fill(&map.extents[0], 1);
	extent_fill(&map.extents[1], 2);
	map_ranges(&map, NULL, 0);
	assert_int_equal(map.count, 0);
	map_ranges(&map, &range, 1);
	assert_int_equal(map.count, 2);
	assert_false(map.extents[0].marked);
	assert_null(map.extents[1].prints);
	extent_map_done(&map);
}

static void test_extent_folds_are_ksm_pages_and_the_zero_pages_since(void **state)
{
	static const struct {
		uint16_t folded, before, after, expected;
	} cases[] = {
		{ 0, 0, 0, 0 },
		{ 7, 0, 0, 7 },
		{ 7, 3, 10, 14 },
		{ 7, 10, 3, 7 }, /* the guest wrote to some that were there before */
		{ 512, 0, 0, 512 },
		{ 0, 0, 512, 512 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct extent extent = {
			.folded = cases[i].folded,
			.zero_before = cases[i].before,
			.zero_after = cases[i].after,
		};

		assert_int_equal(extent_folds(&extent), cases[i].expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extent_aligned_range_is_cut_into_whole_slots),
		cmocka_unit_test(test_extent_ends_of_a_range_are_parts_of_slots),
		cmocka_unit_test(test_extent_two_ranges_in_one_slot_are_two_extents),
		cmocka_unit_test(test_extent_what_never_merges_is_left_out),
		cmocka_unit_test(test_extent_keeps_its_mark_while_userfaultfd_watches_it),
		cmocka_unit_test(test_extent_no_range_is_an_empty_map),
		cmocka_unit_test(test_extent_find_knows_every_border),
		cmocka_unit_test(test_extent_update_carries_over_what_has_the_same_bounds),
		cmocka_unit_test(test_extent_update_to_nothing_and_back_forgets),
		cmocka_unit_test(test_extent_folds_are_ksm_pages_and_the_zero_pages_since),
	};

	return cmocka_run_group_tests_name("extent", tests, NULL, NULL);
}
