/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Generated memory, and what is in it found out the plain way: all fingerprints in one list, sorted
 * by qsort(). For tests of the twin index only.
 */
#ifndef PAGEFOLD_TESTS_TWIN_REFERENCE_H
#define PAGEFOLD_TESTS_TWIN_REFERENCE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "hashing/twin_index.h"

#define PRINT_MASK UINT64_C(0xffffffffffff)

#define FLEET_OWNERS_MAX 40

/* Owners with their extents, on the heap; extents may be missing (NULL). */
struct fleet {
	struct twin_owner owners[FLEET_OWNERS_MAX];
	size_t owner_count;
	uint64_t seed;
};

static inline uint64_t fleet_random(struct fleet *fleet)
{
	uint64_t x = fleet->seed += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static inline void *fleet_allocate(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size);

	assert_non_null(memory);
	return memory;
}

static inline struct twin_owner *fleet_add_owner(struct fleet *fleet, size_t extent_count)
{
	struct twin_owner *owner = &fleet->owners[fleet->owner_count];
	struct extent_prints **extents = fleet_allocate(extent_count, sizeof(*extents));

	assert_true(fleet->owner_count++ < FLEET_OWNERS_MAX);
	for (size_t i = 0; i < extent_count; i++)
		extents[i] = fleet_allocate(1, sizeof(**extents));
	*owner = (struct twin_owner){
		.extents = extents,
		.extent_count = extent_count,
		.ret_extents = fleet_allocate(extent_count, sizeof(*owner->ret_extents)),
	};
	return owner;
}

static inline void fleet_done(struct fleet *fleet)
{
	for (size_t i = 0; i < fleet->owner_count; i++) {
		for (size_t j = 0; j < fleet->owners[i].extent_count; j++)
			free(fleet->owners[i].extents[j]);
		free((void *)(uintptr_t)fleet->owners[i].extents);
		free((void *)(uintptr_t)fleet->owners[i].counted);
		free(fleet->owners[i].ret_extents);
	}
	*fleet = (struct fleet){ 0 };
}

static inline void fleet_remove_extent(struct twin_owner *owner, size_t extent)
{
	free(owner->extents[extent]);
	((struct extent_prints **)(uintptr_t)owner->extents)[extent] = NULL;
}

static inline void fleet_put(
	struct twin_owner *owner, size_t page, enum page_state state, uint64_t fingerprint)
{
	struct extent_prints *extent = owner->extents[page / EXTENT_PAGES];

	extent_prints_set_state(extent, (unsigned)(page % EXTENT_PAGES), state);
	extent_prints_set(extent, (unsigned)(page % EXTENT_PAGES), fingerprint);
}

/* Leaves about a quarter of the extents out. */
static inline void exclude_at_random(struct fleet *fleet)
{
	for (size_t i = 0; i < fleet->owner_count; i++) {
		struct twin_owner *owner = &fleet->owners[i];
		bool *counted = fleet_allocate(owner->extent_count, sizeof(*counted));

		for (size_t j = 0; j < owner->extent_count; j++)
			counted[j] = fleet_random(fleet) % 4 != 0;
		free((void *)(uintptr_t)owner->counted);
		owner->counted = counted;
	}
}

struct reference_page {
	uint64_t fingerprint;
	size_t owner, extent;
	unsigned page;
	enum page_state expected;
};

struct reference {
	struct reference_page *pages; /* that can have twins, by fingerprint, then owner */
	size_t page_count;
	struct twin_sums total, owners[FLEET_OWNERS_MAX];
};

static inline int reference_compare(const void *left, const void *right)
{
	const struct reference_page *a = left, *b = right;

	if (a->fingerprint != b->fingerprint)
		return a->fingerprint < b->fingerprint ? -1 : 1;
	return a->owner < b->owner ? -1 : a->owner > b->owner;
}

/* Lists the pages of one extent. */
static inline void reference_list(struct reference *reference, const struct fleet *fleet,
	size_t owner, size_t extent, bool known_twins_only)
{
	const struct extent_prints *prints = fleet->owners[owner].extents[extent];

	for (unsigned page = 0; page < EXTENT_PAGES; page++) {
		const enum page_state state = extent_prints_state(prints, page);

		reference->owners[owner].pages += state != PAGE_ABSENT;
		reference->owners[owner].zero_pages += state == PAGE_ZERO;
		if (state == PAGE_TWIN || (state == PAGE_SINGLE && !known_twins_only))
			reference->pages[reference->page_count++] =
				(struct reference_page){ extent_prints_get(prints, page), owner,
					extent, page, PAGE_SINGLE };
	}
}

/* One content: pages first .. last - 1 of the sorted list. */
static inline void reference_content(struct reference *reference, size_t first, size_t last)
{
	uint64_t copies[FLEET_OWNERS_MAX] = { 0 };
	uint64_t holders = 0, to_split;
	bool is_first = true;

	if (last - first < 2)
		return;
	for (size_t i = first; i < last; i++) {
		holders += copies[reference->pages[i].owner]++ == 0;
		reference->pages[i].expected = PAGE_TWIN;
	}
	to_split = (holders - 1) * 4096;
	reference->total.distinct_contents++;
	for (size_t i = 0; i < FLEET_OWNERS_MAX; i++) {
		if (!copies[i])
			continue;
		reference->owners[i].duplicate_pages += copies[i];
		reference->owners[i].distinct_contents++;
		reference->owners[i].self_bytes += (copies[i] - 1) * 4096;
		reference->owners[i].cross_bytes += to_split / holders;
		reference->owners[i].cross_bytes += is_first ? to_split % holders : 0;
		is_first = false;
	}
}

/* What twin_index_count() should find. Free .pages. */
static inline struct reference reference_count(const struct fleet *fleet, bool known_twins_only)
{
	struct reference reference = { 0 };
	size_t most = 0, last;

	for (size_t i = 0; i < fleet->owner_count; i++)
		most += fleet->owners[i].extent_count * EXTENT_PAGES;
	reference.pages = fleet_allocate(most, sizeof(*reference.pages));
	for (size_t i = 0; i < fleet->owner_count; i++)
		for (size_t j = 0; j < fleet->owners[i].extent_count; j++)
			if (fleet->owners[i].extents[j] &&
				(!fleet->owners[i].counted || fleet->owners[i].counted[j]))
				reference_list(&reference, fleet, i, j, known_twins_only);
	qsort(reference.pages, reference.page_count, sizeof(*reference.pages), reference_compare);

	for (size_t first = 0; first < reference.page_count; first = last) {
		for (last = first + 1; last < reference.page_count; last++)
			if (reference.pages[last].fingerprint != reference.pages[first].fingerprint)
				break;
		reference_content(&reference, first, last);
	}
	for (size_t i = 0; i < fleet->owner_count; i++) {
		reference.total.pages += reference.owners[i].pages;
		reference.total.zero_pages += reference.owners[i].zero_pages;
		reference.total.duplicate_pages += reference.owners[i].duplicate_pages;
		reference.total.self_bytes += reference.owners[i].self_bytes;
		reference.total.cross_bytes += reference.owners[i].cross_bytes;
	}
	return reference;
}

static const size_t partitions_to_try[] = { 0, 1, 16, 100, 4096, 65536, SIZE_MAX };

static inline void assert_sums_equal(const struct twin_sums *sums, const struct twin_sums *expected)
{
	assert_int_equal(sums->pages, expected->pages);
	assert_int_equal(sums->zero_pages, expected->zero_pages);
	assert_int_equal(sums->duplicate_pages, expected->duplicate_pages);
	assert_int_equal(sums->distinct_contents, expected->distinct_contents);
	assert_int_equal(sums->self_bytes, expected->self_bytes);
	assert_int_equal(sums->cross_bytes, expected->cross_bytes);
}

/* Every state, in a new array: by owner, extent, page. */
static inline uint8_t *copy_states(const struct fleet *fleet)
{
	uint8_t *states = NULL;
	size_t count = 0;

	for (size_t i = 0; i < fleet->owner_count; i++) {
		const struct twin_owner *owner = &fleet->owners[i];

		states = realloc(states, (count + owner->extent_count) * EXTENT_PAGES + 1);
		assert_non_null(states);
		for (size_t j = 0; j < owner->extent_count * EXTENT_PAGES; j++)
			states[count * EXTENT_PAGES + j] =
				owner->extents[j / EXTENT_PAGES]
					? (uint8_t)extent_prints_state(
						  owner->extents[j / EXTENT_PAGES],
						  j % EXTENT_PAGES)
					: 0;
		count += owner->extent_count;
	}
	return states;
}

static inline void put_states(struct fleet *fleet, const uint8_t *states)
{
	for (size_t i = 0; i < fleet->owner_count; i++)
		for (size_t j = 0; j < fleet->owners[i].extent_count; j++)
			for (unsigned page = 0; page < EXTENT_PAGES; page++, states++)
				if (fleet->owners[i].extents[j])
					extent_prints_set_state(fleet->owners[i].extents[j], page,
						(enum page_state)*states);
}

static inline void assert_states(
	const struct fleet *fleet, const struct reference *reference, const uint8_t *before)
{
	_cleanup_free_ uint8_t *expected = NULL, *states = copy_states(fleet);
	size_t starts[FLEET_OWNERS_MAX], count = 0;

	for (size_t i = 0; i < fleet->owner_count; i++) {
		starts[i] = count;
		count += fleet->owners[i].extent_count * EXTENT_PAGES;
	}
	expected = malloc(count + 1);
	assert_non_null(expected);
	memcpy(expected, before, count);
	for (size_t i = 0; i < reference->page_count; i++) {
		const struct reference_page *page = &reference->pages[i];

		expected[starts[page->owner] + page->extent * EXTENT_PAGES + page->page] =
			(uint8_t)page->expected;
	}
	assert_memory_equal(states, expected, count);
}

static inline void assert_extents(const struct fleet *fleet)
{
	for (size_t i = 0; i < fleet->owner_count; i++) {
		const struct twin_owner *owner = &fleet->owners[i];

		for (size_t j = 0; owner->ret_extents && j < owner->extent_count; j++) {
			unsigned twins = 0, zeros = 0;

			for (unsigned page = 0; owner->extents[j] && page < EXTENT_PAGES; page++) {
				if (owner->counted && !owner->counted[j])
					continue;
				twins += extent_prints_state(owner->extents[j], page) == PAGE_TWIN;
				zeros += extent_prints_state(owner->extents[j], page) == PAGE_ZERO;
			}
			assert_int_equal(owner->ret_extents[j].twins, twins);
			assert_int_equal(owner->ret_extents[j].zeros, zeros);
		}
	}
}

/* Counts with partitions of several sizes, each from the same states. */
static inline void assert_counts_as_reference(
	struct fleet *fleet, bool known_twins_only, size_t first_partition)
{
	struct reference reference = reference_count(fleet, known_twins_only);
	_cleanup_free_ uint8_t *before = copy_states(fleet);

	for (size_t i = first_partition; i < ARRAY_SIZE(partitions_to_try); i++) {
		const struct twin_index_options options = {
			.partition_bytes = partitions_to_try[i],
			.known_twins_only = known_twins_only,
		};
		struct twin_sums total;

		put_states(fleet, before);
		for (size_t j = 0; j < fleet->owner_count; j++)
			memset(&fleet->owners[j].ret_sums, 0xa5, sizeof(struct twin_sums));
		memset(&total, 0xa5, sizeof(total));
		assert_int_equal(
			twin_index_count(fleet->owners, fleet->owner_count, &options, &total), 0);
		assert_sums_equal(&total, &reference.total);
		for (size_t j = 0; j < fleet->owner_count; j++)
			assert_sums_equal(&fleet->owners[j].ret_sums, &reference.owners[j]);
		assert_states(fleet, &reference, before);
		assert_extents(fleet);
	}
	free(reference.pages);
}

#endif
