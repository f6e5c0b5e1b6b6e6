// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/held_frames.h"

#include <errno.h>
#include <stdlib.h>

#define ROOM_FIRST 1024

int held_frames_add(struct held_frames *list, uint64_t number, uint32_t holder)
{
	if (list->count == HELD_FRAMES_MOST)
		return -ENOSPC;
	if (list->count == list->room) {
		const size_t room = list->room ? list->room * 2 : ROOM_FIRST;
		struct held_frame *frames = reallocarray(list->frames, room, sizeof(*frames));

		if (!frames)
			return -ENOMEM;
		list->frames = frames;
		list->room = room;
	}
	list->frames[list->count++] = (struct held_frame){ number, holder, false };
	return 0;
}

static int frame_compare(const void *left, const void *right)
{
	const struct held_frame *a = left, *b = right;

	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return (a->holder > b->holder) - (a->holder < b->holder);
}

void held_frames_sort(struct held_frames *list)
{
	size_t kept = 0;

	if (!list->count)
		return;
	qsort(list->frames, list->count, sizeof(*list->frames), frame_compare);
	for (size_t i = 1; i < list->count; i++)
		if (frame_compare(&list->frames[i], &list->frames[kept]))
			list->frames[++kept] = list->frames[i];
	list->count = kept + 1;
}

/* The first entry that is not below the number. */
static size_t frames_find(const struct held_frames *list, uint64_t number)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (list->frames[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool held_frames_meet(struct held_frames *list, uint64_t number)
{
	const size_t first = frames_find(list, number);
	size_t i = first;

	for (; i < list->count && list->frames[i].number == number; i++)
		list->frames[i].shared = true;
	return i > first;
}

uint64_t held_frames_count(const struct held_frames *list, uint64_t *ret_counts)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < list->count; i++) {
		const struct held_frame *frame = &list->frames[i];

		if (!frame->shared)
			continue;
		ret_counts[frame->holder]++;
		sum += !i || list->frames[i - 1].number != frame->number;
	}
	return sum;
}

void held_frames_clear(struct held_frames *list)
{
	list->count = 0;
}

void held_frames_done(struct held_frames *list)
{
	free(list->frames);
	*list = (struct held_frames){ 0 };
}
