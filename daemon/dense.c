// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/dense.h"

#include <stdbool.h>

static bool is_wanted(const struct extent *extent, unsigned page)
{
	const enum page_state state =
		extent_prints_state(extent->prints, extent_first_page(extent) + page);

	return state == PAGE_ZERO || state == PAGE_TWIN;
}

/* The first page from there on that is wanted, or is not; as many as there are: none. */
static unsigned page_find(const struct extent *extent, unsigned page, bool wanted)
{
	while (page < extent_pages(extent) && is_wanted(extent, page) != wanted)
		page++;
	return page;
}

static int run_add(
	const struct extent *extent, unsigned first, unsigned end, struct advice_list *list)
{
	return advice_list_add(list, extent->start + first * PAGE_BYTES,
		extent->start + end * PAGE_BYTES, ADVICE_MERGEABLE);
}

int dense_mark(const struct extent *extent, uint64_t *inout_vma_room, struct advice_list *list)
{
	const unsigned pages = extent_pages(extent);
	unsigned first = extent->prints ? page_find(extent, 0, true) : pages;
	unsigned end, next;
	int error = 0;

	if (first == pages)
		return run_add(extent, 0, pages, list);
	if (first < DENSE_GAP_PAGES)
		first = 0;
	for (end = page_find(extent, first, false); !error && end < pages;
		end = page_find(extent, next, false)) {
		next = page_find(extent, end, true);
		if (next - end < DENSE_GAP_PAGES || *inout_vma_room < DENSE_GAP_VMAS)
			continue;
		if (next == pages)
			break;
		*inout_vma_room -= DENSE_GAP_VMAS;
		error = run_add(extent, first, end, list);
		first = next;
	}
	return error ? error : run_add(extent, first, end, list);
}
