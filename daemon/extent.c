// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/extent.h"

#include <errno.h>
#include <stdlib.h>

/* What is watched with userfaultfd will be mergeable again, and may be marked already. */
static bool range_is_wanted(const struct ram_range *range)
{
	return range->verdict == RAM_MERGEABLE || range->verdict == RAM_UFFD;
}

static size_t slot_count(const struct ram_range *ranges, size_t range_count)
{
	size_t count = 0;

	for (size_t i = 0; i < range_count; i++)
		if (range_is_wanted(&ranges[i]))
			count += (size_t)((ranges[i].end - 1) / EXTENT_BYTES -
				ranges[i].start / EXTENT_BYTES + 1);
	return count;
}

static size_t range_cut(const struct ram_range *range, struct extent *out)
{
	size_t count = 0;

	for (uint64_t start = range->start; start < range->end;) {
		const uint64_t slot_end = (start / EXTENT_BYTES + 1) * EXTENT_BYTES;
		const uint64_t end = slot_end < range->end ? slot_end : range->end;

		out[count++] = (struct extent){
			.start = start,
			.end = end,
			.watched = range->verdict == RAM_UFFD,
		};
		start = end;
	}
	return count;
}

static void extent_forget(struct extent *extent)
{
	extent_prints_free(extent->prints);
	free(extent->shared_before);
	free(extent->memory);
	extent->prints = NULL;
	extent->shared_before = NULL;
	extent->memory = NULL;
}

void extent_forget_visits(struct extent *extent)
{
	extent->prints = extent_prints_free(extent->prints);
	extent->due_ns = 0;
	extent->pages_read = extent->zeros = extent->twins = extent->changed = 0;
	extent->quiet = extent->restless = 0;
	extent->glimpsed = extent->put_off = false;
	extent_doubt(extent);
}

void extent_doubt(struct extent *extent)
{
	extent->visits = 0;
	extent->settling = extent->judged = false;
}

void extent_unmark(struct extent *extent)
{
	free(extent->shared_before);
	free(extent->memory);
	extent->shared_before = NULL;
	extent->memory = NULL;
	extent->marked = extent->exposed = extent->dismissed = false;
	extent->fresh = false;
	extent->folded = 0;
}

/* Both arrays ascend: one walk finds what both have. */
static void extents_carry_over(struct extent_map *old, struct extent *new, size_t new_count)
{
	size_t i = 0;

	for (size_t n = 0; n < new_count; n++) {
		const bool watched = new[n].watched;

		while (i < old->count && old->extents[i].start < new[n].start)
			extent_forget(&old->extents[i++]);
		if (i == old->count || old->extents[i].start != new[n].start ||
			old->extents[i].end != new[n].end)
			continue;
		new[n] = old->extents[i++];
		new[n].watched = watched;
	}
	while (i < old->count)
		extent_forget(&old->extents[i++]);
}

int extent_map_update(
	struct extent_map *map, const struct ram_range *ranges, size_t range_count)
{
	const size_t room = slot_count(ranges, range_count);
	struct extent *extents = calloc(room ? room : 1, sizeof(*extents));
	size_t count = 0;

	if (!extents)
		return -ENOMEM;
	for (size_t i = 0; i < range_count; i++)
		if (range_is_wanted(&ranges[i]))
			count += range_cut(&ranges[i], extents + count);
	extents_carry_over(map, extents, count);
	free(map->extents);
	map->extents = extents;
	map->count = count;
	return 0;
}

void extent_map_done(struct extent_map *map)
{
	for (size_t i = 0; i < map->count; i++)
		extent_forget(&map->extents[i]);
	free(map->extents);
	*map = (struct extent_map){ 0 };
}

struct extent *extent_map_find(const struct extent_map *map, uint64_t address)
{
	size_t low = 0, high = map->count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		struct extent *extent = &map->extents[middle];

		if (address < extent->start)
			high = middle;
		else if (address >= extent->end)
			low = middle + 1;
		else
			return extent;
	}
	return NULL;
}
