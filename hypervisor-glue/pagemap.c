// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Both ways end in one function, run_append() or counts_add(), per stretch of pages of one kind.
 * The fallback looks at one aligned 2 MiB window at a time, so that it can see whether a huge page
 * is whole.
 */
#include "hypervisor-glue/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "hypervisor-glue/pagemap_window.h"

/* The kernel's include/uapi/linux/fs.h since 6.7; Debian 12's headers are older. */
struct scan_region {
	__u64 start, end;
	__u64 categories;
};

struct scan_arguments {
	__u64 size, flags;
	__u64 start, end;
	__u64 walk_end; /* out: up to where the answer is complete */
	__u64 vec, vec_len;
	__u64 max_pages;
	__u64 category_inverted, category_mask, category_anyof_mask;
	__u64 return_mask;
};

#define SCAN_IOCTL _IOWR('f', 16, struct scan_arguments)

/* 12 KiB of stack a call; a 2 MiB extent of scattered pages has at most 512 regions. */
#define SCAN_REGIONS 512

static int scan(struct pagemap *pagemap, struct scan_arguments *arguments)
{
	int r;

	arguments->size = sizeof(*arguments);
	do
		r = ioctl(pagemap->fd, SCAN_IOCTL, arguments);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

static bool have_scan(struct pagemap *pagemap)
{
	struct scan_region region;
	struct scan_arguments arguments = {
		.end = PAGEMAP_PAGE_BYTES,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.category_mask = CATEGORY_PRESENT,
		.return_mask = CATEGORY_PRESENT,
	};

	return scan(pagemap, &arguments) >= 0;
}

int pagemap_open(const struct host_root *root, pid_t pid, bool allow_scan, struct pagemap *ret)
{
	struct pagemap pagemap = { .kpageflags_fd = -1, .kpagecount_fd = -1 };
	char path[32];

	(void)snprintf(path, sizeof(path), "%d/pagemap", pid);
	pagemap.fd = openat(root->proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (pagemap.fd < 0)
		return host_root_process_error(root, pid, -errno);
	pagemap.kpageflags_fd = openat(root->proc_fd, "kpageflags", O_RDONLY | O_CLOEXEC);
	pagemap.kpagecount_fd = openat(root->proc_fd, "kpagecount", O_RDONLY | O_CLOEXEC);
	pagemap.have_scan = allow_scan && have_scan(&pagemap);
	*ret = pagemap;
	return 0;
}

void pagemap_done(struct pagemap *pagemap)
{
	close_fd(pagemap->fd);
	close_fd(pagemap->kpageflags_fd);
	close_fd(pagemap->kpagecount_fd);
	*pagemap = (struct pagemap){ .fd = -1, .kpageflags_fd = -1, .kpagecount_fd = -1 };
}

bool pagemap_is_current(const struct pagemap *pagemap)
{
	uint64_t entry;

	/* An address space that nobody runs in any more reads as an empty file. */
	return pread(pagemap->fd, &entry, sizeof(entry), 0) == (ssize_t)sizeof(entry);
}

static int check_range(uint64_t start, uint64_t end)
{
	return start >= end || ((start | end) & (PAGEMAP_PAGE_BYTES - 1)) ? -EINVAL : 0;
}

static bool is_readable(uint64_t categories)
{
	return (categories & (CATEGORY_PRESENT | CATEGORY_SWAPPED | CATEGORY_PFNZERO)) ==
	       CATEGORY_PRESENT;
}

struct run_list {
	struct page_run *runs;
	size_t count, max;
};

/* False when there was no room. */
static bool run_append(struct run_list *list, uint64_t start, uint64_t end, bool huge)
{
	struct page_run *const last = list->count ? &list->runs[list->count - 1] : NULL;

	if (last && last->end == start && last->huge == huge) {
		last->end = end;
		return true;
	}
	if (list->count == list->max)
		return false;
	list->runs[list->count++] = (struct page_run){ start, end, huge };
	return true;
}

static int scan_runs(struct pagemap *pagemap, uint64_t start, uint64_t end, struct run_list *list,
	uint64_t *ret_walked)
{
	while (start < end) {
		struct scan_region regions[SCAN_REGIONS];
		struct scan_arguments arguments = {
			.start = start,
			.end = end,
			.vec = (uintptr_t)regions,
			.vec_len = SCAN_REGIONS,
			.category_inverted = CATEGORY_PFNZERO | CATEGORY_SWAPPED,
			.category_mask = CATEGORY_PRESENT | CATEGORY_PFNZERO | CATEGORY_SWAPPED,
			.return_mask = CATEGORY_HUGE,
		};
		const int found = scan(pagemap, &arguments);

		if (found < 0)
			return found;
		for (int i = 0; i < found; i++)
			if (!run_append(list, regions[i].start, regions[i].end,
				    regions[i].categories & CATEGORY_HUGE)) {
				*ret_walked = regions[i].start;
				return 0;
			}
		if (arguments.walk_end <= start)
			return -EIO;
		start = arguments.walk_end;
	}
	*ret_walked = end;
	return 0;
}

static int window_runs(struct pagemap *pagemap, uint64_t start, uint64_t end, struct run_list *list,
	uint64_t *ret_walked)
{
	while (start < end) {
		struct pagemap_window window;
		const int r = pagemap_window_read(pagemap, start, end, &window);

		if (r < 0)
			return r;
		for (size_t i = 0; i < window.pages; i++, start += PAGEMAP_PAGE_BYTES) {
			if (!is_readable(window.categories[i]))
				continue;
			if (!run_append(list, start, start + PAGEMAP_PAGE_BYTES,
				    window.categories[i] & CATEGORY_HUGE)) {
				*ret_walked = start;
				return 0;
			}
		}
	}
	*ret_walked = end;
	return 0;
}

int pagemap_readable_runs(struct pagemap *pagemap, uint64_t start, uint64_t end,
	struct page_run *runs, size_t max_runs, size_t *ret_count, uint64_t *ret_walked)
{
	struct run_list list = { .runs = runs, .max = max_runs };
	uint64_t walked;
	int r;

	if (check_range(start, end) < 0)
		return -EINVAL;
	r = pagemap->have_scan ? scan_runs(pagemap, start, end, &list, &walked)
			       : window_runs(pagemap, start, end, &list, &walked);
	if (r < 0)
		return r;
	*ret_count = list.count;
	*ret_walked = walked;
	return 0;
}

static void counts_add(struct page_counts *counts, uint64_t categories, uint64_t pages)
{
	if (categories & CATEGORY_SWAPPED)
		counts->swapped += pages;
	else if (categories & CATEGORY_PFNZERO)
		counts->zero_page += pages;
	else if (categories & CATEGORY_PRESENT)
		counts->present += pages;
	if (is_readable(categories) && (categories & CATEGORY_HUGE))
		counts->huge += pages;
}

static int scan_count(
	struct pagemap *pagemap, uint64_t start, uint64_t end, struct page_counts *counts)
{
	while (start < end) {
		struct scan_region regions[SCAN_REGIONS];
		struct scan_arguments arguments = {
			.start = start,
			.end = end,
			.vec = (uintptr_t)regions,
			.vec_len = SCAN_REGIONS,
			.category_anyof_mask = CATEGORY_PRESENT | CATEGORY_SWAPPED,
			.return_mask = CATEGORY_PRESENT | CATEGORY_SWAPPED | CATEGORY_PFNZERO |
				       CATEGORY_HUGE,
		};
		const int found = scan(pagemap, &arguments);

		if (found < 0)
			return found;
		for (int i = 0; i < found; i++)
			counts_add(counts, regions[i].categories,
				(regions[i].end - regions[i].start) / PAGEMAP_PAGE_BYTES);
		if (arguments.walk_end <= start)
			return -EIO;
		start = arguments.walk_end;
	}
	return 0;
}

static int window_count(
	struct pagemap *pagemap, uint64_t start, uint64_t end, struct page_counts *counts)
{
	while (start < end) {
		struct pagemap_window window;
		const int r = pagemap_window_read(pagemap, start, end, &window);

		if (r < 0)
			return r;
		for (size_t i = 0; i < window.pages; i++)
			counts_add(counts, window.categories[i], 1);
		start += window.pages * PAGEMAP_PAGE_BYTES;
	}
	return 0;
}

int pagemap_count(struct pagemap *pagemap, uint64_t start, uint64_t end, struct page_counts *ret)
{
	struct page_counts counts = { 0 };
	int r;

	if (check_range(start, end) < 0)
		return -EINVAL;
	r = pagemap->have_scan ? scan_count(pagemap, start, end, &counts)
			       : window_count(pagemap, start, end, &counts);
	if (r < 0)
		return r;
	*ret = counts;
	return 0;
}

static uint8_t kind_of(uint64_t categories)
{
	if (categories & CATEGORY_PFNZERO)
		return PAGE_KIND_ZERO;
	return is_readable(categories) && (categories & CATEGORY_HUGE) ? PAGE_KIND_HUGE : 0;
}

static int scan_kinds(struct pagemap *pagemap, uint64_t first, uint64_t end, uint8_t *kinds)
{
	for (uint64_t start = first; start < end;) {
		struct scan_region regions[SCAN_REGIONS];
		struct scan_arguments arguments = {
			.start = start,
			.end = end,
			.vec = (uintptr_t)regions,
			.vec_len = SCAN_REGIONS,
			.category_anyof_mask = CATEGORY_PFNZERO | CATEGORY_HUGE,
			.return_mask = CATEGORY_PRESENT | CATEGORY_SWAPPED | CATEGORY_PFNZERO |
				       CATEGORY_HUGE,
		};
		const int found = scan(pagemap, &arguments);

		if (found < 0)
			return found;
		for (int i = 0; i < found; i++)
			memset(kinds + (regions[i].start - first) / PAGEMAP_PAGE_BYTES,
				kind_of(regions[i].categories),
				(regions[i].end - regions[i].start) / PAGEMAP_PAGE_BYTES);
		if (arguments.walk_end <= start)
			return -EIO;
		start = arguments.walk_end;
	}
	return 0;
}

static int window_kinds(struct pagemap *pagemap, uint64_t start, uint64_t end, uint8_t *kinds)
{
	while (start < end) {
		struct pagemap_window window;
		const int r = pagemap_window_read(pagemap, start, end, &window);

		if (r < 0)
			return r;
		for (size_t i = 0; i < window.pages; i++)
			*kinds++ = kind_of(window.categories[i]);
		start += window.pages * PAGEMAP_PAGE_BYTES;
	}
	return 0;
}

int pagemap_kinds(struct pagemap *pagemap, uint64_t start, size_t pages, uint8_t *ret_kinds)
{
	const uint64_t end = start + pages * PAGEMAP_PAGE_BYTES;

	if (check_range(start, end) < 0)
		return -EINVAL;
	memset(ret_kinds, 0, pages);
	return pagemap->have_scan ? scan_kinds(pagemap, start, end, ret_kinds)
				  : window_kinds(pagemap, start, end, ret_kinds);
}
