/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page frames and who holds them, to be compared with somebody else's. Pure: numbers in, numbers
 * out.
 */
#ifndef PAGEFOLD_DAEMON_HELD_FRAMES_H
#define PAGEFOLD_DAEMON_HELD_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct held_frame {
	uint64_t number;
	uint32_t holder; /* whatever the caller counts its holders by */
	bool shared;     /* held_frames_meet() was asked for it */
};

struct held_frames {
	struct held_frame *frames;
	size_t count, room;
};

/* At most this many are kept at once: 4 MiB for what is a gibibyte in frames. */
#define HELD_FRAMES_MOST (UINT64_C(1) << 18)

/* 0, -ENOMEM, or -ENOSPC once there are HELD_FRAMES_MOST. */
int held_frames_add(struct held_frames *list, uint64_t number, uint32_t holder);
/* What follows needs it sorted. Whatever was added twice for the same holder is there once. */
void held_frames_sort(struct held_frames *list);
/* Somebody else has that frame, too. Whether it is held at all. */
bool held_frames_meet(struct held_frames *list, uint64_t number);
/* Adds to each holder's count (ret_counts[holder]) its frames that were met; the sum, each number
 * counted once, is returned. */
uint64_t held_frames_count(const struct held_frames *list, uint64_t *ret_counts);
/* Empty again; the memory stays. */
void held_frames_clear(struct held_frames *list);
void held_frames_done(struct held_frames *list);

#endif
