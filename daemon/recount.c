// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/recount.h"

#include "common/clock.h"

/* What less than this share of the pages does cannot change the plan by much: an extent in eight
 * would have to have 64 of them. */
#define SHARE_DIVISOR 512

/* For less than that a count that took a millisecond is made again after ten seconds: 0.01 % of a
 * core. */
#define COST_FACTOR 10000

/* A VM that boots is calm when a pass finds less than this part of what waits to be counted. Then
 * what it will keep is there, and one count and one burst do for all of it. */
#define CALM_DIVISOR 8
/* One that does not come to rest is counted as it is, now and then. */
#define PATIENCE_NS (20 * NS_PER_S)

void recount_begin(struct recount *recount)
{
	recount->fresh_pages = 0;
}

void recount_note(struct recount *recount, uint64_t pages, uint64_t now_ns)
{
	if (pages && !recount->pending_pages)
		recount->since_ns = now_ns;
	recount->pending_pages += pages;
	recount->fresh_pages += pages;
}

void recount_done(struct recount *recount, uint64_t cost_ns, uint64_t now_ns)
{
	*recount = (struct recount){ .counted_ns = now_ns, .cost_ns = cost_ns };
}

static bool is_calm(const struct recount *recount, uint64_t now_ns)
{
	return recount->fresh_pages < recount->pending_pages / CALM_DIVISOR ||
	       now_ns - recount->since_ns >= PATIENCE_NS;
}

bool recount_is_due(
	const struct recount *recount, uint64_t known_pages, bool booting, uint64_t now_ns)
{
	if (!recount->pending_pages)
		return false;
	if (!recount->counted_ns)
		return true;
	if (recount->pending_pages < known_pages / SHARE_DIVISOR)
		return now_ns - recount->counted_ns >= recount->cost_ns * COST_FACTOR;
	return !booting || is_calm(recount, now_ns);
}
