// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/pagemap_window.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Documentation/admin-guide/mm/pagemap.rst */
#define ENTRY_PRESENT   (UINT64_C(1) << 63)
#define ENTRY_SWAPPED   (UINT64_C(1) << 62)
#define ENTRY_EXCLUSIVE (UINT64_C(1) << 56)
#define ENTRY_PFN       ((UINT64_C(1) << 55) - 1)
#define KPF_KSM         (UINT64_C(1) << 21)
#define KPF_THP         (UINT64_C(1) << 22)
#define KPF_ZERO_PAGE   (UINT64_C(1) << 24)

/* Reads count 64-bit words, the word at index first. A short answer is padded with zeros: frames
 * without a struct page, or addresses beyond the process's. */
static int read_words(int fd, uint64_t first, size_t count, uint64_t *ret)
{
	size_t done = 0;

	while (done < count * sizeof(*ret)) {
		const ssize_t got = pread(fd, (char *)ret + done, count * sizeof(*ret) - done,
			(off_t)(first * sizeof(*ret) + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	memset((char *)ret + done, 0, count * sizeof(*ret) - done);
	return done ? 0 : -ENODATA;
}

static int read_entries(struct pagemap *pagemap, uint64_t start, size_t pages, uint64_t *ret)
{
	const int r = read_words(pagemap->fd, start / PAGEMAP_PAGE_BYTES, pages, ret);

	return r == -ENODATA ? -ESRCH : r; /* the address space is gone */
}

static uint64_t entry_pfn(uint64_t entry)
{
	return (entry & ENTRY_PRESENT) ? entry & ENTRY_PFN : 0;
}

/* One word of /proc/kpageflags or kpagecount per entry, 0 where the frame is unknown. Frames in a
 * row are asked for in one read: the 512 of a huge page always are. */
static int read_frame_words(int fd, const uint64_t *entries, size_t pages, uint64_t *ret)
{
	memset(ret, 0, pages * sizeof(*ret));
	if (fd < 0)
		return 0;
	for (size_t i = 0; i < pages;) {
		const uint64_t pfn = entry_pfn(entries[i]);
		size_t run = 1;
		int r;

		if (pfn == 0) {
			i++;
			continue;
		}
		while (i + run < pages && entry_pfn(entries[i + run]) == pfn + run)
			run++;
		r = read_words(fd, pfn, run, ret + i);
		if (r < 0 && r != -ENODATA && r != -ENXIO)
			return r;
		i += run;
	}
	return 0;
}

static bool is_whole_huge_page(
	const uint64_t *entries, const uint64_t *flags, uint64_t start, size_t pages)
{
	const uint64_t first = start / PAGEMAP_PAGE_BYTES % WINDOW_PAGES;

	for (size_t i = 0; i < pages; i++) {
		const uint64_t pfn = entry_pfn(entries[i]);

		if (!(flags[i] & KPF_THP) || pfn % WINDOW_PAGES != first + i ||
			pfn - i != entry_pfn(entries[0]))
			return false;
	}
	return true;
}

int pagemap_window_read(
	struct pagemap *pagemap, uint64_t start, uint64_t end, struct pagemap_window *ret)
{
	const uint64_t border = (start / WINDOW_BYTES + 1) * WINDOW_BYTES;
	uint64_t entries[WINDOW_PAGES], flags[WINDOW_PAGES];
	bool huge;
	int r;

	ret->pages = ((border < end ? border : end) - start) / PAGEMAP_PAGE_BYTES;
	r = read_entries(pagemap, start, ret->pages, entries);
	if (r == 0)
		r = read_frame_words(pagemap->kpageflags_fd, entries, ret->pages, flags);
	if (r < 0)
		return r;
	huge = is_whole_huge_page(entries, flags, start, ret->pages);
	for (size_t i = 0; i < ret->pages; i++) {
		ret->categories[i] = huge ? CATEGORY_HUGE : 0;
		if (entries[i] & ENTRY_SWAPPED)
			ret->categories[i] |= CATEGORY_SWAPPED;
		else if (entries[i] & ENTRY_PRESENT)
			ret->categories[i] |= CATEGORY_PRESENT;
		if (flags[i] & KPF_ZERO_PAGE)
			ret->categories[i] |= CATEGORY_PFNZERO;
	}
	return 0;
}

/* At most WINDOW_PAGES of them. */
static int read_frames(
	struct pagemap *pagemap, uint64_t start, size_t pages, struct page_frame *ret_frames)
{
	uint64_t entries[WINDOW_PAGES], flags[WINDOW_PAGES], counts[WINDOW_PAGES];
	int r;

	r = read_entries(pagemap, start, pages, entries);
	if (r == 0)
		r = read_frame_words(pagemap->kpageflags_fd, entries, pages, flags);
	if (r == 0)
		r = read_frame_words(pagemap->kpagecount_fd, entries, pages, counts);
	for (size_t i = 0; r == 0 && i < pages; i++)
		ret_frames[i] = (struct page_frame){
			.pfn = entry_pfn(entries[i]),
			.mapcount = counts[i] < UINT32_MAX ? (uint32_t)counts[i] : UINT32_MAX,
			.ksm = flags[i] & KPF_KSM,
			.zero = flags[i] & KPF_ZERO_PAGE,
			.huge = flags[i] & KPF_THP,
			.exclusive = entries[i] & ENTRY_EXCLUSIVE,
		};
	return r;
}

int pagemap_frames(
	struct pagemap *pagemap, uint64_t start, size_t pages, struct page_frame *ret_frames)
{
	if (start & (PAGEMAP_PAGE_BYTES - 1))
		return -EINVAL;
	if (pagemap->kpageflags_fd < 0) /* frame numbers read as 0 then, too */
		return -EPERM;
	while (pages > 0) {
		const size_t step = pages < WINDOW_PAGES ? pages : WINDOW_PAGES;
		const int r = read_frames(pagemap, start, step, ret_frames);

		if (r < 0)
			return r;
		start += step * PAGEMAP_PAGE_BYTES;
		ret_frames += step;
		pages -= step;
	}
	return 0;
}

static enum page_tenure entry_tenure(uint64_t entry)
{
	if (!(entry & ENTRY_PRESENT))
		return PAGE_NOT_PRESENT;
	return entry & ENTRY_EXCLUSIVE ? PAGE_OWN : PAGE_SHARED;
}

int pagemap_shared_frames(struct pagemap *pagemap, uint64_t start, size_t pages, uint8_t *ret_tenures,
	uint64_t *ret_numbers)
{
	uint64_t entries[WINDOW_PAGES];
	int r;

	if (pages > WINDOW_PAGES)
		return -EINVAL;
	r = read_entries(pagemap, start, pages, entries);
	for (size_t i = 0; r == 0 && i < pages; i++) {
		ret_tenures[i] = (uint8_t)entry_tenure(entries[i]);
		if (ret_numbers)
			ret_numbers[i] = ret_tenures[i] == PAGE_SHARED ? entry_pfn(entries[i]) : 0;
	}
	return r;
}

int pagemap_tenures(struct pagemap *pagemap, uint64_t start, size_t pages, uint8_t *ret_tenures)
{
	return pagemap_shared_frames(pagemap, start, pages, ret_tenures, NULL);
}
