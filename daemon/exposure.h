/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether the host could bear it if every fold broke. Pure: what was read comes from the caller.
 *
 * Folding a page takes one from what is used and adds one to what may be needed again: available memory rises by as
 * much as exposure does. What would be left if every fold broke,
 *
 *     left = MemAvailable + SwapFree - exposure,
 *
 * is therefore the same before and after a burst. What lowers it is that somebody uses what was freed. So a burst is
 * safe, whatever becomes of the memory that it frees, if it frees no more than what is left: then every fold could
 * still break.
 */
#ifndef PAGEFOLD_DAEMON_EXPOSURE_H
#define PAGEFOLD_DAEMON_EXPOSURE_H

#include <stdint.h>

struct exposure {
	uint64_t total_bytes, available_bytes, swap_free_bytes; /* the host's */
	uint64_t exposed_bytes; /* needed at once if every fold broke */
};

enum exposure_level {
	EXPOSURE_COVERED,   /* folding is free */
	EXPOSURE_TIGHT,     /* less than a twentieth of the memory would be left: bursts are bounded by that */
	EXPOSURE_UNCOVERED, /* next to nothing would be: nothing more is folded */
};

/* Negative: there is not enough. */
int64_t exposure_left_bytes(const struct exposure *now);

/* was: what it was judged before. A better level takes a quarter more, or twice as much, than the one below was left
 * for. A host on which nothing is folded is never EXPOSURE_UNCOVERED: it has nothing to lose. */
enum exposure_level exposure_judge(const struct exposure *now, enum exposure_level was);

/* What the next burst may free; UINT64_MAX: no limit. */
uint64_t exposure_allowance_bytes(const struct exposure *now, enum exposure_level level);

/* A sentence with the numbers, and what follows from them. The caller frees it; NULL: no memory. */
char *exposure_text(const struct exposure *now, enum exposure_level level);

#endif
