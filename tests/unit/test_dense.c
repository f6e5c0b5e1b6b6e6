// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/dense.h"

#include "common/cleanup.h"
#include "tests/unit/made_memory.h"

#define ROOM UINT64_C(1000)
#define GAP  DENSE_GAP_PAGES

struct world {
	struct extent_map map;
	struct advice_list list;
	uint64_t room;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	if (!world)
		return -1;
	made_map_init(&world->map, 2);
	world->room = ROOM;
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	extent_map_done(&world->map);
	advice_list_done(&world->list);
	free(world);
	return 0;
}

static void twins_are(struct extent *extent, unsigned first, unsigned end)
{
	made_pages(extent, first, end - first, 1000 + first);
	for (unsigned page = first; page < end; page++)
		extent_prints_set_state(extent->prints, page, PAGE_TWIN);
}

/* Pages first .. end - 1, counted from the first extent's. */
static void assert_run(const struct world *world, size_t i, unsigned first, unsigned end)
{
	const struct advice_request *request = &world->list.requests[i];

	assert_true(i < world->list.count);
	assert_int_equal(request->advice, ADVICE_MERGEABLE);
	assert_int_equal(request->start, MADE_BASE + first * PAGE_BYTES);
	assert_int_equal(request->length, (end - first) * PAGE_BYTES);
}

static void mark(struct world *world, size_t extent)
{
	assert_int_equal(
		dense_mark(&world->map.extents[extent], &world->room, &world->list), 0);
}

static void test_dense_leaves_out_what_has_no_twins(void **state)
{
	struct world *world = *state;
	struct extent *extent = &world->map.extents[0];

	made_pages(extent, 0, EXTENT_PAGES, 5000);
	twins_are(extent, GAP, 100);
	made_pages(extent, 100 + GAP, 10, 0);
	twins_are(extent, 300, EXTENT_PAGES - GAP);
	mark(world, 0);
	assert_int_equal(world->list.count, 3);
	assert_run(world, 0, GAP, 100);
	assert_run(world, 1, 100 + GAP, 110 + GAP);
	assert_run(world, 2, 300, EXTENT_PAGES - GAP);
	assert_int_equal(world->room, ROOM - 2 * DENSE_GAP_VMAS);
}

static void test_dense_bridges_what_is_too_short_to_be_worth_a_mapping(void **state)
{
	struct world *world = *state;
	struct extent *extent = &world->map.extents[0];

	twins_are(extent, GAP - 1, 100);
	twins_are(extent, 100 + GAP - 1, EXTENT_PAGES - GAP + 1);
	mark(world, 0);
	assert_int_equal(world->list.count, 1);
	assert_run(world, 0, 0, EXTENT_PAGES);
	assert_int_equal(world->room, ROOM);
}

static void test_dense_bridges_what_there_is_no_room_for(void **state)
{
	struct world *world = *state;
	struct extent *extent = &world->map.extents[0];

	for (unsigned page = 0; page < EXTENT_PAGES; page += 64)
		twins_are(extent, page, page + 8);
	world->room = 2 * DENSE_GAP_VMAS + 1;
	mark(world, 0);
	assert_int_equal(world->list.count, 3);
	assert_run(world, 0, 0, 8);
	assert_run(world, 1, 64, 72);
	assert_run(world, 2, 128, EXTENT_PAGES);
	assert_int_equal(world->room, 1);
}

static void test_dense_neighbours_are_one_request(void **state)
{
	struct world *world = *state;

	twins_are(&world->map.extents[0], 400, EXTENT_PAGES);
	twins_are(&world->map.extents[1], 0, 30);
	mark(world, 0);
	mark(world, 1);
	assert_int_equal(world->list.count, 1);
	assert_run(world, 0, 400, EXTENT_PAGES + 30);
}

static void test_dense_marks_all_of_what_nobody_knows(void **state)
{
	struct world *world = *state;

	made_pages(&world->map.extents[0], 0, 200, 5000);
	mark(world, 0);
	assert_run(world, 0, 0, EXTENT_PAGES);
	world->map.extents[1].prints = extent_prints_free(world->map.extents[1].prints);
	mark(world, 1);
	assert_int_equal(world->list.count, 1);
	assert_run(world, 0, 0, 2 * EXTENT_PAGES);
}

static void test_dense_knows_where_a_part_of_an_extent_begins(void **state)
{
	struct world *world = *state;
	struct extent *extent = &world->map.extents[0];

	twins_are(extent, 0, 50); /* not of this part */
	twins_are(extent, 200, 220);
	extent->start += 100 * PAGE_BYTES;
	extent->end -= 100 * PAGE_BYTES;
	mark(world, 0);
	assert_int_equal(world->list.count, 1);
	assert_run(world, 0, 200, 220);
	/* Put back: the map has whole extents. */
	extent->start -= 100 * PAGE_BYTES;
	extent->end += 100 * PAGE_BYTES;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define DENSE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		DENSE_TEST(test_dense_leaves_out_what_has_no_twins),
		DENSE_TEST(test_dense_bridges_what_is_too_short_to_be_worth_a_mapping),
		DENSE_TEST(test_dense_bridges_what_there_is_no_room_for),
		DENSE_TEST(test_dense_neighbours_are_one_request),
		DENSE_TEST(test_dense_marks_all_of_what_nobody_knows),
		DENSE_TEST(test_dense_knows_where_a_part_of_an_extent_begins),
	};

	return cmocka_run_group_tests_name("dense", tests, NULL, NULL);
}
