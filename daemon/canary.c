// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/canary.h"

#include <errno.h>
#include <linux/mman.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/clock.h"
#include "hypervisor-glue/pagemap.h"

/* 512 KiB, of which half is folded. Both pages of a pair break, the second one as what nobody
 * shares any more, which KSM copies all the same: enough for 32 passes. ksmd's price is 0.1 ms a
 * scan. */
#define PAIRS      64
#define PAGES      (2 * PAIRS)
#define PAGE       PAGEMAP_PAGE_BYTES
#define PAIR_BYTES (PAIRS * PAGE)

/* Some microseconds each. */
#define SAMPLES_PER_PASS 4

static int random_fill(unsigned char *memory, size_t bytes)
{
	while (bytes) {
		const ssize_t got = getrandom(memory, bytes, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		memory += got;
		bytes -= (size_t)got;
	}
	return 0;
}

static void canary_make(struct canary *canary)
{
	unsigned char *const memory = mmap(
		NULL, 2 * PAIR_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return;
	/* No child may share them: the attach helper is one. */
	if (madvise(memory, 2 * PAIR_BYTES, MADV_DONTFORK) < 0 ||
		random_fill(memory, PAIR_BYTES) < 0) {
		(void)munmap(memory, 2 * PAIR_BYTES);
		return;
	}
	(void)madvise(memory, 2 * PAIR_BYTES, MADV_NOHUGEPAGE);
	memcpy(memory + PAIR_BYTES, memory, PAIR_BYTES);
	canary->memory = memory;
}

void canary_offer(struct canary *canary)
{
	if (!canary->memory)
		canary_make(canary);
	if (!canary->memory || madvise(canary->memory, 2 * PAIR_BYTES, MADV_MERGEABLE) < 0)
		return;
	canary->left = PAGES;
}

static bool is_folded(struct pagemap *pagemap, const unsigned char *page)
{
	struct page_frame frame;

	return pagemap_frames(pagemap, (uint64_t)(uintptr_t)page, 1, &frame) == 0 && frame.ksm;
}

static void page_break(struct canary *canary, volatile unsigned char *page)
{
	const unsigned char same = *page;
	const uint64_t before_ns = clock_monotonic_ns();
	uint64_t ns;

	*page = same;
	ns = clock_monotonic_ns() - before_ns;
	canary->ns[canary->taken++ % CANARY_SAMPLES] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

void canary_sample(struct canary *canary, const struct host_root *root)
{
	struct pagemap pagemap;
	unsigned taken = 0;

	if (!canary->left || pagemap_open(root, getpid(), false, &pagemap) < 0)
		return;
	while (canary->left && taken < SAMPLES_PER_PASS) {
		unsigned char *const page = canary->memory + canary->next * PAGE;

		canary->next = (canary->next + 1) % PAGES;
		canary->left--;
		if (!is_folded(&pagemap, page))
			continue;
		page_break(canary, page);
		taken++;
	}
	pagemap_done(&pagemap);
}

static int ns_compare(const void *one, const void *other)
{
	const uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;

	return (a > b) - (a < b);
}

bool canary_percentile_ns(const struct canary *canary, unsigned percent, uint64_t *ret_ns)
{
	const size_t count = canary->taken < CANARY_SAMPLES ? canary->taken : CANARY_SAMPLES;
	uint32_t sorted[CANARY_SAMPLES];
	size_t rank;

	if (!count)
		return false;
	memcpy(sorted, canary->ns, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), ns_compare);
	/* The nearest rank, counted from 1. */
	rank = (count * percent + 99) / 100;
	*ret_ns = sorted[rank ? rank - 1 : 0];
	return true;
}

void canary_done(struct canary *canary)
{
	if (canary->memory)
		(void)munmap(canary->memory, 2 * PAIR_BYTES);
	*canary = (struct canary){ 0 };
}
