/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Internal to pagemap: what /proc/PID/pagemap, kpageflags and kpagecount say of up to 512 pages,
 * one aligned 2 MiB at a time, so that it can be seen whether a huge page is whole.
 */
#ifndef PAGEFOLD_GLUE_PAGEMAP_WINDOW_H
#define PAGEFOLD_GLUE_PAGEMAP_WINDOW_H

#include "hypervisor-glue/pagemap.h"

/* PAGE_IS_* of the kernel's include/uapi/linux/fs.h. */
#define CATEGORY_PRESENT (1U << 3)
#define CATEGORY_SWAPPED (1U << 4)
#define CATEGORY_PFNZERO (1U << 5)
#define CATEGORY_HUGE    (1U << 6)

#define WINDOW_PAGES 512
#define WINDOW_BYTES (WINDOW_PAGES * PAGEMAP_PAGE_BYTES)

struct pagemap_window {
	size_t pages;
	uint32_t categories[WINDOW_PAGES];
};

/* From start to the next 2 MiB border, or to end if that comes first. */
int pagemap_window_read(
	struct pagemap *pagemap, uint64_t start, uint64_t end, struct pagemap_window *ret);

#endif
