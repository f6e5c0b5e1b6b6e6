// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/fold_look.h"

#include "hypervisor-glue/pagemap.h"

/*
 * A KSM page that nobody else maps any more looks like the process's own to the page tables, and is
 * still copied when it is written. Which of the pages that were folded are such ones, only their
 * frames tell.
 */
static int lonely_find(struct guest *guest, const struct extent *extent, struct fold_look *look)
{
	for (unsigned page = 0; page < extent_pages(extent);) {
		struct page_frame frames[EXTENT_PAGES];
		const unsigned first = page;
		int error;

		while (page < extent_pages(extent) && look->folds[page] == FOLD_OWN &&
			page_set_has(&extent->memory->ksm, page))
			page++;
		if (page == first) {
			page++;
			continue;
		}
		error = pagemap_frames(
			&guest->pagemap, extent->start + first * PAGE_BYTES, page - first, frames);
		if (error)
			return error;
		for (unsigned i = first; i < page; i++)
			if (frames[i - first].ksm) {
				look->folds[i] = FOLD_KSM;
				look->lonely = true;
			}
	}
	return 0;
}

static int look_vm(struct guest *guest, const struct extent *extent, struct fold_look *look)
{
	const int error = pagemap_shared_frames(
		&guest->pagemap, extent->start, extent_pages(extent), look->tenures, look->numbers);

	if (error)
		return error;
	for (unsigned page = 0; page < extent_pages(extent); page++) {
		const bool is_zero = look->folds[page] == FOLD_ZERO;
		const uint8_t tenure = look->tenures[page];

		/* The two looks are not one: a zero page that was written in between is its own. */
		if (is_zero && tenure == PAGE_SHARED)
			continue;
		look->zero -= is_zero;
		look->shared += tenure == PAGE_SHARED;
		look->folds[page] = tenure == PAGE_SHARED ? FOLD_KSM
				    : tenure == PAGE_OWN  ? FOLD_OWN
							  : FOLD_GONE;
	}
	return extent->memory ? lonely_find(guest, extent, look) : 0;
}

static int look_process(struct guest *guest, const struct extent *extent, struct fold_look *look)
{
	struct page_frame frames[EXTENT_PAGES];
	const int error =
		pagemap_frames(&guest->pagemap, extent->start, extent_pages(extent), frames);

	if (error)
		return error;
	look->zero = 0;
	for (unsigned page = 0; page < extent_pages(extent); page++) {
		const struct page_frame *frame = &frames[page];

		look->tenures[page] = frame->ksm || frame->zero ? PAGE_SHARED
				      : frame->pfn              ? PAGE_OWN
								: PAGE_NOT_PRESENT;
		look->folds[page] = frame->ksm    ? FOLD_KSM
				    : frame->zero ? FOLD_ZERO
				    : frame->pfn  ? FOLD_OWN
						  : FOLD_GONE;
		look->lonely = look->lonely || (frame->ksm && frame->exclusive);
		look->numbers[page] = frame->ksm || frame->zero ? frame->pfn : 0;
		look->mappings[page] = frame->mapcount;
		look->shared += frame->ksm;
		look->zero += frame->zero;
	}
	return 0;
}

int fold_look_take(struct guest *guest, const struct extent *extent, struct fold_look *ret)
{
	int error = pagemap_kinds(&guest->pagemap, extent->start, extent_pages(extent), ret->folds);

	if (error)
		return error;
	ret->shared = ret->zero = 0;
	ret->huge = ret->lonely = false;
	for (unsigned page = 0; page < extent_pages(extent); page++) {
		const bool is_zero = ret->folds[page] & PAGE_KIND_ZERO;

		ret->huge = ret->huge || ret->folds[page] & PAGE_KIND_HUGE;
		ret->zero += is_zero;
		ret->folds[page] = is_zero ? FOLD_ZERO : FOLD_OWN;
	}
	return guest->is_vm ? look_vm(guest, extent, ret) : look_process(guest, extent, ret);
}
