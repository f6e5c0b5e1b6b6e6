/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Extents that were never anybody's memory: fingerprints of what a test says is in them. */
#ifndef PAGEFOLD_TESTS_MADE_MEMORY_H
#define PAGEFOLD_TESTS_MADE_MEMORY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "daemon/extent.h"
#include "hashing/twin_index.h"

#define MADE_BASE UINT64_C(0x7f0000000000)

/* count whole extents without a page in them, read twice, of huge pages. */
static inline void made_map_init(struct extent_map *map, size_t count)
{
	const struct ram_range range = { MADE_BASE, MADE_BASE + count * EXTENT_BYTES,
		RAM_MERGEABLE };

	*map = (struct extent_map){ 0 };
	assert_int_equal(extent_map_update(map, &range, 1), 0);
	for (size_t i = 0; i < count; i++) {
		map->extents[i].prints = extent_prints_new();
		assert_non_null(map->extents[i].prints);
		map->extents[i].visits = 2;
		map->extents[i].huge = true;
	}
}

/* Pages first .. first + count - 1 hold content, content + 1, ...; content 0: they are all zero. */
static inline void made_pages(
	struct extent *extent, unsigned first, unsigned count, uint64_t content)
{
	struct extent_tally tally;

	for (unsigned i = 0; i < count; i++) {
		extent_prints_set_state(
			extent->prints, first + i, content ? PAGE_SINGLE : PAGE_ZERO);
		if (content)
			extent_prints_set(extent->prints, first + i, content + i);
	}
	tally = extent_prints_tally(extent->prints);
	extent->pages_read = tally.pages;
	extent->zeros = tally.zeros;
}

/* What the census does: twins of every extent, among all of the maps. */
static inline void made_count(struct extent_map *const *maps, size_t map_count)
{
	struct twin_owner *owners = calloc(map_count + 1, sizeof(*owners));
	const struct twin_index_options options = { 0 };
	struct twin_sums total;

	assert_non_null(owners);
	for (size_t m = 0; m < map_count; m++) {
		struct extent_prints **prints = calloc(maps[m]->count + 1, sizeof(*prints));

		assert_non_null(prints);
		for (size_t e = 0; e < maps[m]->count; e++)
			prints[e] = maps[m]->extents[e].prints;
		owners[m].extents = prints;
		owners[m].extent_count = maps[m]->count;
		owners[m].ret_extents = calloc(maps[m]->count + 1, sizeof(struct twin_extent));
		assert_non_null(owners[m].ret_extents);
	}
	assert_int_equal(twin_index_count(owners, map_count, &options, &total), 0);
	for (size_t m = 0; m < map_count; m++) {
		for (size_t e = 0; e < maps[m]->count; e++)
			maps[m]->extents[e].twins = owners[m].ret_extents[e].twins;
		free(owners[m].ret_extents);
		free((void *)(uintptr_t)owners[m].extents);
	}
	free(owners);
}

#endif
