/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which page frames have been seen. A bit for each, in leaves that are there only for memory of which something
 * has been seen: 4 KiB for each 128 MiB of it.
 */
#ifndef PAGEFOLD_DAEMON_FRAME_SET_H
#define PAGEFOLD_DAEMON_FRAME_SET_H

#include <stddef.h>
#include <stdint.h>

struct frame_set {
	uint64_t **leaves; /* leaf_count of them, NULL where nothing was seen */
	size_t leaf_count;
};

/* 1: it is new; 0: it has been seen; -ENOMEM; -ERANGE: there are no such frames. */
int frame_set_add(struct frame_set *set, uint64_t number);
/* A blank one is fine, and it is one again afterwards. */
void frame_set_done(struct frame_set *set);

#endif
