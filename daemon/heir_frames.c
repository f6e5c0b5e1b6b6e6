// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/heir_frames.h"

#include <errno.h>
#include <stdlib.h>

#include "hypervisor-glue/pagemap.h"

#define ROOM_FIRST 1024

int heir_frames_add(struct heir_frames *frames, uint64_t number)
{
	if (frames->count == frames->room) {
		const size_t room = frames->room ? frames->room * 2 : ROOM_FIRST;
		uint64_t *numbers = reallocarray(frames->numbers, room, sizeof(*numbers));

		if (!numbers)
			return -ENOMEM;
		frames->numbers = numbers;
		frames->room = room;
	}
	frames->numbers[frames->count++] = number;
	frames->sorted = false;
	return 0;
}

static int number_compare(const void *left, const void *right)
{
	const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

/* The first that is not below the number. */
static size_t number_find(const struct heir_frames *frames, uint64_t number)
{
	size_t low = 0, high = frames->count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (frames->numbers[middle] < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t heir_frames_mappings(struct heir_frames *frames, uint64_t number)
{
	if (!frames->count)
		return 0;
	if (!frames->sorted)
		qsort(frames->numbers, frames->count, sizeof(*frames->numbers), number_compare);
	frames->sorted = true;
	return (uint32_t)(number_find(frames, number + 1) - number_find(frames, number));
}

static bool is_handed_on(const struct target *heir, const struct extent *extent, unsigned page)
{
	return heir->inherited || extent->shared_before[page] == SHARED_BY_FORK;
}

static void extent_collect(
	struct heir_frames *list, struct target *heir, const struct extent *extent)
{
	struct page_frame frames[EXTENT_PAGES];
	const unsigned pages = extent_pages(extent);

	if (pagemap_frames(&heir->guest.pagemap, extent->start, pages, frames) < 0)
		return;
	for (unsigned page = 0; page < pages; page++)
		if (frames[page].ksm && is_handed_on(heir, extent, page) &&
			heir_frames_add(list, frames[page].pfn) < 0)
			return;
}

void heir_frames_collect(const struct core *core, struct heir_frames *ret)
{
	*ret = (struct heir_frames){ 0 };
	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];

		if (target->guest.is_vm || !target->mapped)
			continue;
		for (size_t e = 0; e < target->guest.map.count; e++) {
			const struct extent *extent = &target->guest.map.extents[e];

			if (extent->marked && (target->inherited || extent->shared_before))
				extent_collect(ret, target, extent);
		}
	}
}

void heir_frames_done(struct heir_frames *frames)
{
	free(frames->numbers);
	*frames = (struct heir_frames){ 0 };
}
