/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many mappings of which frames of KSM came with a fork (heirs.h). They would have come without any folding: a
 * frame must not seem to save more by them.
 */
#ifndef PAGEFOLD_DAEMON_HEIR_FRAMES_H
#define PAGEFOLD_DAEMON_HEIR_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/core.h"

struct heir_frames {
	uint64_t *numbers; /* one for each mapping */
	size_t count, room;
	bool sorted;
};

/* 0 or -ENOMEM. */
int heir_frames_add(struct heir_frames *frames, uint64_t number);
/* How many of them are of that frame. */
uint32_t heir_frames_mappings(struct heir_frames *frames, uint64_t number);

/* All of those that there are now. Who cannot be looked at is left out. The caller ends with heir_frames_done(). */
void heir_frames_collect(const struct core *core, struct heir_frames *ret);
void heir_frames_done(struct heir_frames *frames);

#endif
