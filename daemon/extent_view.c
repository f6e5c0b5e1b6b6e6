// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/extent_view.h"

static void view_split(struct extent_view *view, const struct page_set *there, unsigned first,
	const uint8_t *tenures)
{
	for (unsigned page = page_set_next(there, 0); page < EXTENT_PAGES;
		page = page_set_next(there, page + 1))
		page_set_add(
			tenures[page - first] == PAGE_SHARED ? &view->shared : &view->own, page);
}

static bool is_surely_own(enum view_trust trust, const struct page_run *runs, size_t count)
{
	return trust == TRUST_ALL || (trust == TRUST_HUGE && count == 1 && runs[0].huge);
}

int extent_view_take(struct pagemap *pagemap, const struct extent *extent, enum view_trust trust,
	struct page_run *runs, struct extent_view *ret)
{
	const uint64_t slot = extent->start / EXTENT_BYTES * EXTENT_BYTES;
	struct extent_view view = { 0 };
	struct page_set there = { 0 };
	uint8_t tenures[EXTENT_PAGES];
	uint64_t walked;
	size_t count;
	int error;

	/* An extent has at most EXTENT_PAGES runs: the answer is always complete. */
	error = pagemap_readable_runs(
		pagemap, extent->start, extent->end, runs, EXTENT_PAGES, &count, &walked);
	if (error)
		return error;
	for (size_t i = 0; i < count; i++)
		page_set_add_run(&there, (unsigned)((runs[i].start - slot) / PAGE_BYTES),
			(unsigned)((runs[i].end - runs[i].start) / PAGE_BYTES));
	view.huge = count && runs[0].huge;
	if (!count || is_surely_own(trust, runs, count)) {
		view.own = there;
	} else {
		error = pagemap_tenures(pagemap, extent->start, extent_pages(extent), tenures);
		if (error)
			return error;
		view_split(&view, &there, extent_first_page(extent), tenures);
	}
	*ret = view;
	return 0;
}
