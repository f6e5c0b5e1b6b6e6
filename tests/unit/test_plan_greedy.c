// SPDX-License-Identifier: GPL-2.0-or-later
/* The planner's choice beside the best greedy one, for the same number of broken huge pages. */
#include "tools/benchmark/greedy.h"

#include <stdio.h>

#include "common/cleanup.h"
#include "tests/unit/made_memory.h"

#define VMS     3u
#define EXTENTS 40u

static uint64_t seed, unique;

static unsigned draw(unsigned below)
{
	uint64_t x = seed += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (unsigned)((x ^ x >> 31) % below);
}

/* What the memory of the VMs is like. */
struct kind {
	const char *name;
	unsigned files;      /* of 64 pages, that all draw from */
	unsigned dense;      /* percent of the extents: half of them or more are files' pages */
	unsigned few;        /* files' pages in the others, at most */
	unsigned zeros;      /* at most, in an extent */
	unsigned plain;      /* percent of the extents: no huge page */
};

static const struct kind kinds[] = {
	{ "clustered", 60, 25, 8, 60, 30 },
	{ "clustered, hardly shared", 400, 25, 8, 20, 30 },
	{ "scattered", 60, 0, 100, 60, 30 },
	{ "scattered, hardly shared", 400, 10, 80, 30, 30 },
	{ "whole huge pages", 100, 25, 30, 40, 0 },
	{ "no huge pages", 100, 25, 30, 40, 100 },
};

static void extent_fill(const struct kind *kind, struct extent *extent)
{
	const unsigned files = draw(100) < kind->dense ? 256 + draw(257) : draw(kind->few + 1);
	const unsigned run = files >= 256 ? 64 : 1;
	unsigned page = 0, length;

	for (unsigned left = files; left; left -= length, page += length) {
		const unsigned content = draw(kind->files) * 64 + draw(65 - run);

		length = run < left ? run : left;
		made_pages(extent, page, length, 1000 + content);
	}
	length = draw(kind->zeros + 1);
	length = length < EXTENT_PAGES - page ? length : EXTENT_PAGES - page;
	made_pages(extent, page, length, 0);
	for (page += length; page < EXTENT_PAGES; page++)
		made_pages(extent, page, 1, 1000000 + unique++);
	extent->huge = draw(100) >= kind->plain;
}

static void memory_make(const struct kind *kind, struct extent_map *maps)
{
	for (size_t v = 0; v < VMS; v++) {
		made_map_init(&maps[v], EXTENTS);
		for (size_t e = 0; e < EXTENTS; e++)
			extent_fill(kind, &maps[v].extents[e]);
	}
}

static void assert_as_good_as_greedy(
	const struct kind *kind, enum policy_hugepages hugepages, struct extent_map *maps)
{
	struct extent_map *counted[VMS] = { &maps[0], &maps[1], &maps[2] };
	struct plan_vm vms[VMS];
	struct greedy_budget cost;
	struct greedy *greedy;
	struct plan plan;
	uint64_t value, up, down;

	made_count(counted, VMS);
	for (size_t v = 0; v < VMS; v++)
		vms[v] = (struct plan_vm){ .name = "vm", .pid = (pid_t)(100 + v), .map = &maps[v],
			.hugepages = hugepages, .fold = true, .vma_room = 1000 };
	assert_int_equal(plan_make(vms, VMS, 0, &plan), 0);
	greedy = greedy_new(vms, VMS);
	assert_non_null(greedy);
	cost = greedy_cost(&plan);
	value = greedy_value(greedy, &plan);
	assert_int_equal(value, plan.saved_pages);
	up = greedy_upwards(greedy, cost);
	down = greedy_downwards(greedy, cost, NULL);
	if (value * 100 < up * 98 || value * 100 < down * 98)
		fail_msg("%s, policy %d: %llu pages with %zu huge pages and %zu others broken, "
			"greedy %llu upwards, %llu downwards", kind->name, (int)hugepages,
			(unsigned long long)value, cost.huge, cost.plain, (unsigned long long)up,
			(unsigned long long)down);
	(void)greedy_free(greedy);
	plan_done(&plan);
}

static void test_plan_is_within_two_percent_of_the_best_greedy_choice(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		for (size_t i = 0; i < 5; i++) {
			struct extent_map maps[VMS];

			seed = k * 100 + i;
			memory_make(&kinds[k], maps);
			assert_as_good_as_greedy(&kinds[k], HUGEPAGES_KEEP, maps);
			assert_as_good_as_greedy(&kinds[k], HUGEPAGES_BALANCE, maps);
			assert_as_good_as_greedy(&kinds[k], HUGEPAGES_FOLD, maps);
			for (size_t v = 0; v < VMS; v++)
				extent_map_done(&maps[v]);
		}
}

/* The reference against all there is to choose from: what it finds exists, and small cases are best. */
static void test_greedy_finds_pairs_and_counts_them_exactly(void **state)
{
	struct extent_map map;
	struct extent_map *maps[] = { &map };
	const struct plan_vm vm = { .name = "vm", .pid = 1, .map = &map, .fold = true,
		.hugepages = HUGEPAGES_FOLD, .vma_room = 100 };
	struct greedy *greedy;
	uint64_t curve[6];

	(void)state;
	/* Three partners of 100 pages, two of 90, and 40 zero pages alone. */
	made_map_init(&map, 6);
	for (size_t e = 0; e < 3; e++)
		made_pages(&map.extents[e], 0, 100, 5000);
	for (size_t e = 3; e < 5; e++)
		made_pages(&map.extents[e], 0, 90, 9000);
	made_pages(&map.extents[5], 0, 40, 0);
	map.extents[4].huge = false;
	made_count(maps, 1);
	greedy = greedy_new(&vm, 1);
	assert_non_null(greedy);
	assert_int_equal(greedy_budget_all(greedy).huge, 5);
	assert_int_equal(greedy_budget_all(greedy).plain, 1);
	assert_int_equal(greedy_upwards(greedy, (struct greedy_budget){ 1, 0 }), 40);
	assert_int_equal(greedy_upwards(greedy, (struct greedy_budget){ 2, 0 }), 100);
	assert_int_equal(greedy_upwards(greedy, (struct greedy_budget){ 3, 0 }), 200);
	assert_int_equal(greedy_upwards(greedy, (struct greedy_budget){ 4, 1 }), 290);
	assert_int_equal(greedy_upwards(greedy, (struct greedy_budget){ 5, 1 }), 330);
	assert_int_equal(greedy_downwards(greedy, (struct greedy_budget){ 0, 0 }, curve), 0);
	assert_int_equal(curve[5], 330);
	assert_int_equal(curve[4], 290);
	assert_int_equal(greedy_downwards(greedy, (struct greedy_budget){ 3, 0 }, NULL), 200);
	(void)greedy_free(greedy);
	extent_map_done(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_greedy_finds_pairs_and_counts_them_exactly),
		cmocka_unit_test(test_plan_is_within_two_percent_of_the_best_greedy_choice),
	};

	return cmocka_run_group_tests_name("plan beside greedy", tests, NULL, NULL);
}
