// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/exposure.h"

#include <stdio.h>

/* What a release keeps in reserve (release.c): with less left, not all that is folded could be given back. */
#define TIGHT_DIVISOR 20u
#define TIGHT_END_DIVISOR 16u

/* MemAvailable is what there is above the kernel's low watermarks; below that it reclaims, then kills. That much
 * again stays untouched whatever becomes of a burst. */
#define LEAST_DIVISOR     256u
#define LEAST_END_DIVISOR 128u

int64_t exposure_left_bytes(const struct exposure *now)
{
	return (int64_t)(now->available_bytes + now->swap_free_bytes) - (int64_t)now->exposed_bytes;
}

enum exposure_level exposure_judge(const struct exposure *now, enum exposure_level was)
{
	const int64_t left = exposure_left_bytes(now);
	const int64_t total = (int64_t)now->total_bytes;
	const int64_t least =
		total / (was == EXPOSURE_UNCOVERED ? LEAST_END_DIVISOR : LEAST_DIVISOR);
	const int64_t tight = total / (was == EXPOSURE_COVERED ? TIGHT_DIVISOR : TIGHT_END_DIVISOR);

	if (left < least && now->exposed_bytes)
		return EXPOSURE_UNCOVERED;
	return left < tight ? EXPOSURE_TIGHT : EXPOSURE_COVERED;
}

uint64_t exposure_allowance_bytes(const struct exposure *now, enum exposure_level level)
{
	const int64_t left = exposure_left_bytes(now);
	const int64_t least = (int64_t)(now->total_bytes / LEAST_DIVISOR);

	if (level == EXPOSURE_COVERED)
		return UINT64_MAX;
	if (level == EXPOSURE_UNCOVERED)
		return 0;
	/* So short of memory, with nothing folded, it can only win: a little at a time. */
	return (uint64_t)(left > 2 * least ? left - least : least);
}

static long long mib(int64_t bytes)
{
	return (long long)(bytes >> 20);
}

char *exposure_text(const struct exposure *now, enum exposure_level level)
{
	const int64_t left = exposure_left_bytes(now);
	char *text;

	if (asprintf(&text,
		    "if every fold broke, %lld MiB would be needed at once, and the host has %lld MiB for "
		    "that (%lld MiB available, %lld MiB of free swap): %s; free memory, add swap, or "
		    "release a VM",
		    mib((int64_t)now->exposed_bytes),
		    mib((int64_t)(now->available_bytes + now->swap_free_bytes)),
		    mib((int64_t)now->available_bytes), mib((int64_t)now->swap_free_bytes),
		    level == EXPOSURE_UNCOVERED ? left < 0 ? "that is not enough, so nothing more is folded"
							   : "that is barely enough, so nothing more is folded"
						: "what would be left is little, so only little is folded at a time") < 0)
		return NULL;
	return text;
}
