// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/tally.h"

bool tally_see(struct tally *tally, uint64_t number)
{
	const int result = number ? frame_set_add(&tally->seen, number) : -1;

	if (result < 0)
		tally->hidden = true;
	tally->frames += result > 0;
	return result == 0;
}

void tally_add_folded(struct tally *tally, const struct folded_page *page)
{
	const uint32_t own = page->mappings > page->inherited ? page->mappings - page->inherited : 1;

	if (!page->mappings)
		return;
	tally->exposed_pages += 1 - 1.0 / page->mappings;
	if (page->before == SHARED_BY_FORK)
		return;
	tally->saved_pages += 1.0 / page->before - 1.0 / own;
	tally->self_pages += tally_see(tally, page->number) ? 1.0 / page->before : 0;
}

/* There is one zero page: to a VM that has any it is one frame more. */
uint64_t tally_self_pages(const struct tally *tally, uint64_t folded_pages, bool zeros)
{
	const uint64_t frames = tally->frames - (zeros && tally->frames);

	return folded_pages > frames ? folded_pages - frames : 0;
}

void tally_done(struct tally *tally)
{
	frame_set_done(&tally->seen);
	*tally = (struct tally){ 0 };
}
