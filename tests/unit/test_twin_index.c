// SPDX-License-Identifier: GPL-2.0-or-later
#include "hashing/twin_index.h"

#include "tests/unit/twin_reference.h"

/* Holes, zero pages, unique pages, contents out of small and large pools, runs copied from
 * elsewhere. */
static void fill_at_random(struct fleet *fleet, struct twin_owner *owner)
{
	const size_t pages = owner->extent_count * EXTENT_PAGES;

	for (size_t page = 0; page < pages; page++) {
		const uint64_t kind = fleet_random(fleet) % 16, drawn = fleet_random(fleet);
		const size_t source = drawn % pages;
		/* what an earlier count left behind must not matter */
		const enum page_state read = drawn >> 63 ? PAGE_SINGLE : PAGE_TWIN;

		if (kind < 2) {
			fleet_put(owner, page, PAGE_ABSENT, drawn % 50);
		} else if (kind < 4) {
			fleet_put(owner, page, PAGE_ZERO, drawn % 50);
		} else if (kind < 7) {
			fleet_put(owner, page, read, drawn & PRINT_MASK);
		} else if (kind < 10) {
			fleet_put(owner, page, read, drawn % 50);
		} else if (kind < 15) {
			fleet_put(owner, page, read,
				drawn % 20000 * UINT64_C(0x100000001b3) & PRINT_MASK);
		} else {
			for (size_t i = 0; i < 60 && page < pages && source + i < pages;
				i++, page++)
				fleet_put(owner, page, read,
					extent_prints_get(
						owner->extents[(source + i) / EXTENT_PAGES],
						(unsigned)((source + i) % EXTENT_PAGES)));
		}
	}
}

static void test_random_memory_is_counted_as_by_sorting_everything(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		_cleanup_(fleet_done) struct fleet fleet = { .seed = seed };
		const uint64_t owners = 1 + fleet_random(&fleet) % 5;

		for (size_t i = 0; i < owners; i++) {
			struct twin_owner *owner =
				fleet_add_owner(&fleet, fleet_random(&fleet) % 6);

			fill_at_random(&fleet, owner);
			for (size_t j = 0; j < owner->extent_count; j++)
				if (fleet_random(&fleet) % 8 == 0)
					fleet_remove_extent(owner, j);
		}
		if (seed % 3 == 0)
			exclude_at_random(&fleet);
		assert_counts_as_reference(&fleet, false, seed <= 3 ? 0 : 3);
	}
}

static void test_recounts_keep_only_twins_whose_partner_still_counts(void **state)
{
	(void)state;
	for (uint64_t seed = 100; seed < 108; seed++) {
		_cleanup_(fleet_done) struct fleet fleet = { .seed = seed };

		for (size_t i = 0; i < 4; i++)
			fill_at_random(&fleet, fleet_add_owner(&fleet, 4));
		assert_counts_as_reference(&fleet, false, ARRAY_SIZE(partitions_to_try) - 1);
		for (unsigned round = 0; round < 3; round++) {
			exclude_at_random(&fleet);
			assert_counts_as_reference(&fleet, true, seed == 100 ? 0 : 3);
		}
	}
}

static void test_recount_of_everything_changes_nothing(void **state)
{
	_cleanup_(fleet_done) struct fleet fleet = { .seed = 5 };
	const struct twin_index_options recount = { .known_twins_only = true };
	struct twin_sums first, second;

	(void)state;
	fill_at_random(&fleet, fleet_add_owner(&fleet, 3));
	fill_at_random(&fleet, fleet_add_owner(&fleet, 3));
	assert_int_equal(
		twin_index_count(fleet.owners, 2, &(struct twin_index_options){ 0 }, &first), 0);
	assert_int_equal(twin_index_count(fleet.owners, 2, &recount, &second), 0);
	assert_true(first.duplicate_pages > 0);
	assert_sums_equal(&second, &first);
}

static void test_three_copies_in_a_and_one_in_b_are_the_manuals_example(void **state)
{
	_cleanup_(fleet_done) struct fleet fleet = { 0 };
	struct twin_owner *a = fleet_add_owner(&fleet, 2), *b = fleet_add_owner(&fleet, 1);
	struct twin_sums total;

	(void)state;
	fleet_put(a, 3, PAGE_SINGLE, 42);
	fleet_put(a, 4, PAGE_SINGLE, 42);
	fleet_put(a, 1000, PAGE_SINGLE, 42);
	fleet_put(b, 511, PAGE_SINGLE, 42);
	fleet_put(b, 0, PAGE_ZERO, 42);
	fleet_put(b, 1, PAGE_SINGLE, 43);
	assert_int_equal(
		twin_index_count(fleet.owners, 2, &(struct twin_index_options){ 0 }, &total), 0);
	assert_sums_equal(&total, &(struct twin_sums){ 6, 1, 4, 1, 8192, 4096 });
	assert_sums_equal(&a->ret_sums, &(struct twin_sums){ 3, 0, 3, 1, 8192, 2048 });
	assert_sums_equal(&b->ret_sums, &(struct twin_sums){ 3, 1, 1, 1, 0, 2048 });
	assert_int_equal(a->ret_extents[0].twins, 2);
	assert_int_equal(a->ret_extents[1].twins, 1);
	assert_int_equal(b->ret_extents[0].twins, 1);
	assert_int_equal(b->ret_extents[0].zeros, 1);
	assert_int_equal(twin_sums_saveable_bytes(&total), 4 * 4096);
	assert_int_equal(twin_sums_saveable_bytes(&b->ret_sums), 4096 + 2048);
}

static void test_bytes_that_do_not_divide_go_to_the_first_owner(void **state)
{
	(void)state;
	for (size_t holders = 2; holders <= FLEET_OWNERS_MAX - 1; holders++) {
		_cleanup_(fleet_done) struct fleet fleet = { 0 };
		const uint64_t bytes = (holders - 1) * 4096;
		struct twin_sums total;

		fleet_add_owner(&fleet, 1); /* holds nothing */
		for (size_t i = 0; i < holders; i++)
			fleet_put(fleet_add_owner(&fleet, 1), 77, PAGE_SINGLE, 0);
		assert_counts_as_reference(&fleet, false, 0);
		assert_int_equal(twin_index_count(fleet.owners, fleet.owner_count,
					 &(struct twin_index_options){ 0 }, &total),
			0);
		assert_int_equal(total.cross_bytes, bytes);
		assert_int_equal(fleet.owners[0].ret_sums.cross_bytes, 0);
		assert_int_equal(
			fleet.owners[1].ret_sums.cross_bytes, bytes / holders + bytes % holders);
		assert_int_equal(fleet.owners[2].ret_sums.cross_bytes, bytes / holders);
	}
}

static void test_nothing_to_count_is_no_failure(void **state)
{
	struct extent_prints *missing[2] = { NULL, NULL };
	struct twin_owner owners[] = {
		{ .extents = NULL, .extent_count = 0 },
		{ .extents = missing, .extent_count = 2 },
	};

	(void)state;
	for (size_t count = 0; count <= ARRAY_SIZE(owners); count++) {
		struct twin_sums total = { .pages = 9 };

		assert_int_equal(twin_index_count(count ? owners : NULL, count,
					 &(struct twin_index_options){ 0 }, &total),
			0);
		assert_sums_equal(&total, &(struct twin_sums){ 0 });
	}
	assert_sums_equal(&owners[1].ret_sums, &(struct twin_sums){ 0 });
}

static void test_extents_that_do_not_count_are_not_touched(void **state)
{
	static const bool counted[] = { true, false };
	_cleanup_(fleet_done) struct fleet fleet = { 0 };
	struct twin_owner *owner = fleet_add_owner(&fleet, 2);
	struct extent_prints before;
	struct twin_sums total;

	(void)state;
	for (size_t page = 0; page < 2 * EXTENT_PAGES; page++)
		fleet_put(owner, page, page % 4, 1000 + page % EXTENT_PAGES);
	before = *owner->extents[1];
	owner->counted = counted;
	assert_int_equal(twin_index_count(owner, 1, &(struct twin_index_options){ 0 }, &total), 0);
	owner->counted = NULL;
	assert_int_equal(total.pages, EXTENT_PAGES / 4 * 3);
	assert_int_equal(total.duplicate_pages, 0);
	assert_memory_equal(owner->extents[1], &before, sizeof(before));
	assert_int_equal(owner->ret_extents[1].zeros, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_memory_is_counted_as_by_sorting_everything),
		cmocka_unit_test(test_recounts_keep_only_twins_whose_partner_still_counts),
		cmocka_unit_test(test_recount_of_everything_changes_nothing),
		cmocka_unit_test(test_three_copies_in_a_and_one_in_b_are_the_manuals_example),
		cmocka_unit_test(test_bytes_that_do_not_divide_go_to_the_first_owner),
		cmocka_unit_test(test_nothing_to_count_is_no_failure),
		cmocka_unit_test(test_extents_that_do_not_count_are_not_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
