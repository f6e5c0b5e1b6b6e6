// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/frame_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEAF_BYTES  4096u
#define LEAF_FRAMES (LEAF_BYTES * 8u)

/* x86-64 has 52 bits of physical address, arm64 as many. The table of leaves alone would be 256 MiB then, but it
 * grows no further than the memory that there is. */
#define FRAMES_MOST (UINT64_C(1) << 40)

static int leaves_reach(struct frame_set *set, size_t leaf)
{
	const size_t count = leaf + 1 > 2 * set->leaf_count ? leaf + 1 : 2 * set->leaf_count;
	uint64_t **leaves;

	if (leaf < set->leaf_count)
		return 0;
	leaves = reallocarray(set->leaves, count, sizeof(*leaves));
	if (!leaves)
		return -ENOMEM;
	memset(leaves + set->leaf_count, 0, (count - set->leaf_count) * sizeof(*leaves));
	set->leaves = leaves;
	set->leaf_count = count;
	return 0;
}

int frame_set_add(struct frame_set *set, uint64_t number)
{
	const size_t leaf = (size_t)(number / LEAF_FRAMES);
	const uint64_t bit = UINT64_C(1) << number % 64;
	uint64_t *word;

	if (number >= FRAMES_MOST)
		return -ERANGE;
	if (leaves_reach(set, leaf) < 0)
		return -ENOMEM;
	if (!set->leaves[leaf])
		set->leaves[leaf] = calloc(1, LEAF_BYTES);
	if (!set->leaves[leaf])
		return -ENOMEM;
	word = &set->leaves[leaf][number % LEAF_FRAMES / 64];
	if (*word & bit)
		return 0;
	*word |= bit;
	return 1;
}

void frame_set_done(struct frame_set *set)
{
	for (size_t i = 0; i < set->leaf_count; i++)
		free(set->leaves[i]);
	free(set->leaves);
	*set = (struct frame_set){ 0 };
}
