// SPDX-License-Identifier: GPL-2.0-or-later
#include "hashing/twin_pairs.h"

#include <errno.h>

#include "tests/unit/twin_reference.h"

/* Each page alone, some in pools that few or many share, some zero or absent. */
static void fill_at_random(struct fleet *fleet, struct twin_owner *owner, uint64_t pool)
{
	for (size_t page = 0; page < owner->extent_count * EXTENT_PAGES; page++) {
		const uint64_t kind = fleet_random(fleet) % 8, drawn = fleet_random(fleet);
		const enum page_state read = drawn >> 63 ? PAGE_SINGLE : PAGE_TWIN;

		if (kind == 0)
			fleet_put(owner, page, PAGE_ABSENT, drawn % pool);
		else if (kind == 1)
			fleet_put(owner, page, PAGE_ZERO, drawn % pool);
		else if (kind == 2)
			fleet_put(owner, page, read, drawn & PRINT_MASK);
		else
			fleet_put(owner, page, read, drawn % pool);
	}
}

/* Both hold it: how that counts for a pair, from the definition. */
static void pair_expect(
	struct twin_pair *pair, const uint64_t *copies, size_t owners, size_t i, size_t j)
{
	uint64_t holders = 0, before_i = 0, before_j = 0, own_i, own_j;

	for (size_t k = 0; k < owners; k++) {
		holders += copies[k] > 0;
		before_i += k < i && copies[k];
		before_j += k < j && copies[k] && k != i;
	}
	own_i = (holders - 1) * 4096 / holders + (before_i ? 0 : (holders - 1) * 4096 % holders);
	own_j = (holders - 1) * 4096 / holders;
	pair->contents++;
	pair->pages[0] += copies[i];
	pair->pages[1] += copies[j];
	/* j is the first other holder that i has, if nobody but i comes before it. */
	pair->cross_bytes[0] +=
		own_i / (holders - 1) + (before_i || before_j ? 0 : own_i % (holders - 1));
	pair->cross_bytes[1] += own_j / (holders - 1) + (before_i ? 0 : own_j % (holders - 1));
}

static struct twin_pair *pairs_expected(
	const struct fleet *fleet, const struct reference *reference)
{
	const size_t owners = fleet->owner_count;
	struct twin_pair *expected = fleet_allocate(owners * owners, sizeof(*expected));

	for (size_t first = 0, last; first < reference->page_count; first = last) {
		uint64_t copies[FLEET_OWNERS_MAX] = { 0 };

		for (last = first; last < reference->page_count; last++) {
			if (reference->pages[last].fingerprint !=
				reference->pages[first].fingerprint)
				break;
			copies[reference->pages[last].owner]++;
		}
		for (size_t i = 0; i < owners; i++)
			for (size_t j = i + 1; j < owners; j++)
				if (copies[i] && copies[j])
					pair_expect(
						&expected[i * owners + j], copies, owners, i, j);
	}
	return expected;
}

static void assert_pair(const struct twin_pair *pair, const struct twin_pair *expected)
{
	assert_int_equal(pair->contents, expected->contents);
	for (size_t side = 0; side < 2; side++) {
		assert_int_equal(pair->pages[side], expected->pages[side]);
		assert_int_equal(pair->cross_bytes[side], expected->cross_bytes[side]);
	}
}

static void assert_rows_add_up(const struct fleet *fleet, const struct twin_pairs *pairs)
{
	for (size_t i = 0; i < fleet->owner_count; i++) {
		uint64_t bytes = 0;

		for (size_t j = 0; j < fleet->owner_count; j++)
			if (j != i)
				bytes += i < j ? twin_pairs_get(pairs, i, j)->cross_bytes[0]
					       : twin_pairs_get(pairs, j, i)->cross_bytes[1];
		assert_int_equal(bytes, fleet->owners[i].ret_sums.cross_bytes);
	}
}

/* With partitions of several sizes; what was known of the pages stays. */
static void assert_pairs_as_reference(struct fleet *fleet, bool known_twins_only)
{
	struct reference reference = reference_count(fleet, known_twins_only);
	_cleanup_free_ struct twin_pair *expected = pairs_expected(fleet, &reference);
	_cleanup_free_ uint8_t *before = copy_states(fleet);
	const size_t owners = fleet->owner_count;

	for (size_t i = 3; i < ARRAY_SIZE(partitions_to_try); i++) {
		_cleanup_(twin_pairs_done) struct twin_pairs pairs = { 0 };
		const struct twin_index_options options = {
			.partition_bytes = partitions_to_try[i],
			.known_twins_only = known_twins_only,
			.pairs = &pairs,
		};
		_cleanup_free_ uint8_t *after = NULL;
		struct twin_sums total;
		size_t pages = 0;

		assert_int_equal(twin_pairs_init(&pairs, owners), 0);
		assert_int_equal(twin_index_count(fleet->owners, owners, &options, &total), 0);
		assert_sums_equal(&total, &reference.total);
		for (size_t j = 0; j < owners; j++) {
			assert_sums_equal(&fleet->owners[j].ret_sums, &reference.owners[j]);
			for (size_t k = 0; k < j; k++)
				assert_pair(
					twin_pairs_get(&pairs, k, j), &expected[k * owners + j]);
			pages += fleet->owners[j].extent_count * EXTENT_PAGES;
		}
		assert_rows_add_up(fleet, &pairs);
		after = copy_states(fleet);
		assert_memory_equal(after, before, pages);
	}
	free(reference.pages);
}

static void test_random_memory_is_paired_as_by_the_definition(void **state)
{
	static const uint64_t pools[] = { 40, 700, 5000 };

	(void)state;
	for (uint64_t seed = 1; seed <= 9; seed++) {
		_cleanup_(fleet_done) struct fleet fleet = { .seed = seed };
		const uint64_t owners = 1 + fleet_random(&fleet) % 7;

		for (size_t i = 0; i < owners; i++)
			fill_at_random(&fleet,
				fleet_add_owner(&fleet, 1 + fleet_random(&fleet) % 3),
				pools[seed % 3]);
		assert_pairs_as_reference(&fleet, seed % 2);
	}
}

/* Nearly every content is held by a set of owners of its own: the table is emptied over and over.
 */
static void test_more_sets_of_owners_than_the_table_holds(void **state)
{
	_cleanup_(fleet_done) struct fleet fleet = { .seed = 77 };

	(void)state;
	for (size_t i = 0; i < 20; i++)
		fleet_add_owner(&fleet, 8);
	for (uint64_t content = 0; content < 4000; content++)
		for (size_t i = 0; i < fleet.owner_count; i++)
			fleet_put(&fleet.owners[i], content,
				fleet_random(&fleet) % 2 ? PAGE_SINGLE : PAGE_ABSENT, content);
	assert_pairs_as_reference(&fleet, false);
}

static void test_three_copies_in_a_and_one_in_b_are_the_manuals_example(void **state)
{
	_cleanup_(fleet_done) struct fleet fleet = { 0 };
	_cleanup_(twin_pairs_done) struct twin_pairs pairs = { 0 };
	const struct twin_index_options options = { .pairs = &pairs };
	const struct twin_pair expected = {
		.contents = 1, .pages = { 3, 1 }, .cross_bytes = { 2048, 2048 }
	};
	struct twin_owner *a = fleet_add_owner(&fleet, 1), *b = fleet_add_owner(&fleet, 1);
	struct twin_sums total;

	(void)state;
	for (size_t page = 0; page < 3; page++)
		fleet_put(a, page, PAGE_SINGLE, 7);
	fleet_put(b, 0, PAGE_SINGLE, 7);
	fleet_put(b, 1, PAGE_SINGLE, 8);
	assert_int_equal(twin_pairs_init(&pairs, 2), 0);
	assert_int_equal(twin_index_count(fleet.owners, 2, &options, &total), 0);
	assert_pair(twin_pairs_get(&pairs, 0, 1), &expected);
}

static void test_nobody_and_one_have_no_pairs(void **state)
{
	(void)state;
	for (size_t owners = 0; owners < 2; owners++) {
		_cleanup_(fleet_done) struct fleet fleet = { .seed = 3 };

		for (size_t i = 0; i < owners; i++)
			fill_at_random(&fleet, fleet_add_owner(&fleet, 2), 100);
		assert_pairs_as_reference(&fleet, false);
	}
}

static void test_more_owners_than_there_is_room_for_are_refused(void **state)
{
	struct twin_pairs pairs = { 0 };

	(void)state;
	assert_int_equal(twin_pairs_init(&pairs, TWIN_PAIRS_OWNERS_MOST + 1), -E2BIG);
	assert_int_equal(twin_pairs_init(&pairs, TWIN_PAIRS_OWNERS_MOST), 0);
	twin_pairs_done(&pairs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_memory_is_paired_as_by_the_definition),
		cmocka_unit_test(test_more_sets_of_owners_than_the_table_holds),
		cmocka_unit_test(test_three_copies_in_a_and_one_in_b_are_the_manuals_example),
		cmocka_unit_test(test_nobody_and_one_have_no_pairs),
		cmocka_unit_test(test_more_owners_than_there_is_room_for_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
