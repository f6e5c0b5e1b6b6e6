// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/breaks.h"

#include <string.h>

static void page_set_drop(struct page_set *set, unsigned page)
{
	set->words[page / 64] &= ~(UINT64_C(1) << (page % 64));
}

/* Its page is not what it was folded to any more, and there. */
static void page_broke(const struct fold_memory *memory, unsigned page, struct break_counts *inout)
{
	inout->ksm += page_set_has(&memory->ksm, page);
	inout->zero += page_set_has(&memory->zero, page);
}

static void page_forget(struct fold_memory *memory, unsigned page)
{
	page_set_drop(&memory->ksm, page);
	page_set_drop(&memory->zero, page);
	page_set_drop(&memory->gone, page);
	page_set_drop(&memory->foreign, page);
}

static void page_take_zero(struct fold_memory *memory, unsigned page, struct break_counts *inout)
{
	/* ksmd folds nothing that is not there. */
	const bool foreign =
		page_set_has(&memory->gone, page) || page_set_has(&memory->foreign, page);

	if (page_set_has(&memory->zero, page))
		return;
	page_broke(memory, page, inout);
	page_forget(memory, page);
	page_set_add(foreign ? &memory->foreign : &memory->zero, page);
}

static void page_take(
	struct fold_memory *memory, unsigned page, enum page_fold fold, struct break_counts *inout)
{
	switch (fold) {
	case FOLD_ZERO:
		page_take_zero(memory, page, inout);
		break;
	case FOLD_KSM:
		if (page_set_has(&memory->ksm, page))
			break;
		page_broke(memory, page, inout);
		page_forget(memory, page);
		page_set_add(&memory->ksm, page);
		break;
	case FOLD_OWN:
		page_broke(memory, page, inout);
		page_forget(memory, page);
		break;
	case FOLD_GONE:
		page_forget(memory, page);
		page_set_add(&memory->gone, page);
		break;
	}
}

void break_counts_add(struct break_counts *sum, const struct break_counts *counts)
{
	sum->ksm += counts->ksm;
	sum->zero += counts->zero;
}

void breaks_begin(struct fold_memory *memory, const uint8_t *folds, unsigned pages)
{
	memset(memory, 0, sizeof(*memory));
	for (unsigned page = 0; page < pages; page++) {
		if (folds[page] == FOLD_ZERO)
			page_set_add(&memory->foreign, page);
		else if (folds[page] == FOLD_KSM)
			page_set_add(&memory->ksm, page);
		else if (folds[page] == FOLD_GONE)
			page_set_add(&memory->gone, page);
	}
}

void breaks_look(struct fold_memory *memory, const uint8_t *folds, unsigned pages, bool collapsed,
	struct break_counts *inout)
{
	struct break_counts none = { 0 };

	for (unsigned page = 0; page < pages; page++)
		page_take(memory, page, (enum page_fold)folds[page], collapsed ? &none : inout);
}

void breaks_forget_run(struct fold_memory *memory, unsigned first, unsigned count)
{
	for (unsigned page = first; page < first + count; page++)
		page_forget(memory, page);
}
