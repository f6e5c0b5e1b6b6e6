// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/pagemap.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>

#include "common/clock.h"
#include "hypervisor-glue/host_memory.h"
#include "hypervisor-glue/ksm.h"
#include "tests/unit/child.h"
#include "tests/unit/fake_root.h"
#include "tests/unit/reserved_memory.h"

#define PAGE   RESERVED_PAGE
#define EXTENT RESERVED_EXTENT
#define PAGES  ((size_t)512) /* of an extent */

/* What the child has in each extent of 2 MiB. */
enum {
	HUGE_EXTENT,      /* one huge page, where the host gives one */
	SCATTERED_EXTENT, /* every third page written, the others never touched */
	ZERO_EXTENT,      /* read only: the kernel's zero page, 512 times */
	UNMAPPED_EXTENT,
	WRITTEN_EXTENT, /* 512 small pages; paged out where there is swap */
	UNTOUCHED_EXTENT,
	EXTENT_COUNT,
};

#define SCATTERED_PAGES ((PAGES + 2) / 3)

static struct host_root root;
static struct reserved_memory reserved;

static void lay_out(void *argument, char step)
{
	volatile char sink = 0;
	char *extent;

	(void)argument;
	(void)step;
	extent = reserved_map(&reserved, HUGE_EXTENT * EXTENT, EXTENT, MADV_HUGEPAGE);
	memset(extent, 1, EXTENT);
	extent = reserved_map(&reserved, SCATTERED_EXTENT * EXTENT, EXTENT, MADV_NOHUGEPAGE);
	for (size_t page = 0; page < PAGES; page += 3)
		extent[page * PAGE] = 2;
	extent = reserved_map(&reserved, ZERO_EXTENT * EXTENT, EXTENT, MADV_NOHUGEPAGE);
	for (size_t page = 0; page < PAGES; page++)
		sink = (char)(sink + extent[page * PAGE]);
	(void)munmap(reserved.memory + UNMAPPED_EXTENT * EXTENT, EXTENT);
	extent = reserved_map(&reserved, WRITTEN_EXTENT * EXTENT, EXTENT, MADV_NOHUGEPAGE);
	memset(extent, 3, EXTENT);
	(void)madvise(extent, EXTENT, MADV_PAGEOUT); /* without swap: nothing happens */
	(void)reserved_map(&reserved, UNTOUCHED_EXTENT * EXTENT, EXTENT, MADV_NOHUGEPAGE);
}

static bool host_gives_huge_pages(void)
{
	enum thp_mode mode;

	return thp_mode_read(&root, &mode) == 0 && mode != THP_NEVER;
}

static int setup(void **state)
{
	(void)state;
	assert_int_equal(host_root_open("", &root), 0);
	reserved_memory_init(&reserved, EXTENT_COUNT * EXTENT);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	reserved_memory_done(&reserved);
	host_root_done(&root);
	return 0;
}

static void open_or_skip(pid_t pid, bool allow_scan, struct pagemap *ret)
{
	assert_int_equal(pagemap_open(&root, pid, allow_scan, ret), 0);
	if (allow_scan && !ret->have_scan) {
		pagemap_done(ret);
		print_message("SKIP: this kernel has no PAGEMAP_SCAN\n");
		skip();
	}
	if (!allow_scan && ret->kpageflags_fd < 0) {
		pagemap_done(ret);
		print_message("SKIP: /proc/kpageflags needs CAP_SYS_ADMIN\n");
		skip();
	}
}

static struct page_counts count_extents(struct pagemap *pagemap, size_t first, size_t last)
{
	struct page_counts counts;

	assert_int_equal(pagemap_count(pagemap, reserved_address(&reserved, first * EXTENT),
				 reserved_address(&reserved, last * EXTENT), &counts),
		0);
	return counts;
}

static void assert_counts_of_layout(bool allow_scan)
{
	struct pagemap pagemap;
	struct page_counts counts;
	struct child child;

	child_start(&child, lay_out, NULL);
	open_or_skip(child.pid, allow_scan, &pagemap);
	counts = count_extents(&pagemap, SCATTERED_EXTENT, SCATTERED_EXTENT + 1);
	assert_int_equal(counts.present, SCATTERED_PAGES);
	assert_int_equal(counts.zero_page + counts.swapped + counts.huge, 0);
	counts = count_extents(&pagemap, ZERO_EXTENT, ZERO_EXTENT + 1);
	assert_int_equal(counts.zero_page, PAGES);
	assert_int_equal(counts.present + counts.swapped + counts.huge, 0);
	counts = count_extents(&pagemap, UNMAPPED_EXTENT, UNMAPPED_EXTENT + 1);
	assert_int_equal(counts.present + counts.swapped + counts.zero_page, 0);
	counts = count_extents(&pagemap, WRITTEN_EXTENT, WRITTEN_EXTENT + 1);
	assert_int_equal(counts.present + counts.swapped, PAGES);
	counts = count_extents(&pagemap, HUGE_EXTENT, HUGE_EXTENT + 1);
	assert_int_equal(counts.present, PAGES);
	if (host_gives_huge_pages())
		assert_int_equal(counts.huge, PAGES);
	counts = count_extents(&pagemap, 0, EXTENT_COUNT);
	assert_int_equal(counts.present + counts.swapped, 2 * PAGES + SCATTERED_PAGES);
	pagemap_done(&pagemap);
	child_stop(&child);
}

static void test_counts_by_scan_tell_all_kinds_apart(void **state)
{
	(void)state;
	assert_counts_of_layout(true);
}

static void test_counts_by_fallback_tell_all_kinds_apart(void **state)
{
	(void)state;
	assert_counts_of_layout(false);
}

/* One byte a page: 0 not readable, 1 readable, 2 part of a huge page. max_runs at a time. */
static void read_states(struct pagemap *pagemap, size_t max_runs, unsigned char *states)
{
	const uint64_t end = reserved_address(&reserved, reserved.bytes);
	uint64_t at = reserved_address(&reserved, 0), walked = 0;
	struct page_run *const runs = calloc(max_runs, sizeof(*runs));

	assert_non_null(runs);
	memset(states, 0, reserved.bytes / PAGE);
	for (; at < end; at = walked) {
		size_t count;

		assert_int_equal(
			pagemap_readable_runs(pagemap, at, end, runs, max_runs, &count, &walked),
			0);
		assert_in_range(count, 0, max_runs);
		assert_true(walked > at && walked <= end);
		for (size_t i = 0; i < count; i++) {
			assert_true(runs[i].start >= at && runs[i].end <= walked);
			assert_true(runs[i].start < runs[i].end);
			for (uint64_t page = runs[i].start; page < runs[i].end; page += PAGE)
				states[(page - reserved_address(&reserved, 0)) / PAGE] =
					runs[i].huge ? 2 : 1;
		}
	}
	free(runs);
}

static void test_scan_and_fallback_see_the_same_runs(void **state)
{
	static const size_t max_runs[] = { 1, 2, 7, 170, 171, 511, 1024 };
	static unsigned char by_scan[EXTENT_COUNT * 512], by_fallback[EXTENT_COUNT * 512];
	struct pagemap scan, fallback;
	struct child child;

	(void)state;
	child_start(&child, lay_out, NULL);
	open_or_skip(child.pid, true, &scan);
	open_or_skip(child.pid, false, &fallback);
	for (size_t i = 0; i < ARRAY_SIZE(max_runs); i++) {
		read_states(&scan, max_runs[i], by_scan);
		read_states(&fallback, max_runs[i], by_fallback);
		assert_memory_equal(by_scan, by_fallback, sizeof(by_scan));
		for (size_t page = 0; page < PAGES; page++) {
			assert_int_equal(by_scan[SCATTERED_EXTENT * PAGES + page], page % 3 == 0);
			assert_int_equal(by_scan[ZERO_EXTENT * PAGES + page], 0);
			assert_int_equal(by_scan[UNMAPPED_EXTENT * PAGES + page], 0);
			assert_int_equal(by_scan[UNTOUCHED_EXTENT * PAGES + page], 0);
		}
	}
	pagemap_done(&scan);
	pagemap_done(&fallback);
	child_stop(&child);
}

static void test_neighbouring_pages_are_one_run(void **state)
{
	struct pagemap pagemap;
	struct page_run runs[4];
	struct child child;
	uint64_t walked;
	size_t count;

	(void)state;
	child_start(&child, lay_out, NULL);
	for (int allow_scan = 0; allow_scan < 2; allow_scan++) {
		assert_int_equal(pagemap_open(&root, child.pid, allow_scan, &pagemap), 0);
		assert_int_equal(pagemap_readable_runs(&pagemap, reserved_address(&reserved, PAGE),
					 reserved_address(&reserved, EXTENT - PAGE), runs,
					 ARRAY_SIZE(runs), &count, &walked),
			0);
		assert_int_equal(count, 1);
		assert_int_equal(runs[0].start, reserved_address(&reserved, PAGE));
		assert_int_equal(runs[0].end, reserved_address(&reserved, EXTENT - PAGE));
		assert_int_equal(walked, runs[0].end);
		pagemap_done(&pagemap);
	}
	child_stop(&child);
}

static void test_frames_tell_who_maps_what(void **state)
{
	struct page_frame frames[1024];
	struct pagemap pagemap;
	struct child child;

	(void)state;
	child_start(&child, lay_out, NULL);
	open_or_skip(child.pid, false, &pagemap);
	assert_int_equal(
		pagemap_frames(&pagemap, reserved_address(&reserved, SCATTERED_EXTENT * EXTENT),
			2 * PAGES, frames),
		0);
	for (size_t page = 0; page < 2 * PAGES; page++) {
		const bool zero = page >= PAGES, there = zero || page % 3 == 0;

		assert_int_equal(frames[page].pfn != 0, there);
		assert_int_equal(frames[page].zero, zero);
		assert_false(frames[page].ksm || frames[page].huge);
		assert_int_equal(frames[page].exclusive, there && !zero);
		if (there && !zero)
			assert_int_equal(frames[page].mapcount, 1);
	}
	assert_int_equal(frames[PAGES].pfn, frames[2 * PAGES - 1].pfn);
	if (host_gives_huge_pages()) {
		assert_int_equal(
			pagemap_frames(&pagemap, reserved_address(&reserved, 0), 2, frames), 0);
		assert_true(frames[0].huge && frames[1].huge);
		assert_int_equal(frames[1].pfn, frames[0].pfn + 1);
	}
	pagemap_done(&pagemap);
	child_stop(&child);
}

static void test_tenures_tell_own_pages_from_shared_ones(void **state)
{
	uint8_t tenures[512];
	struct pagemap pagemap;
	struct child child;

	(void)state;
	child_start(&child, lay_out, NULL);
	assert_int_equal(pagemap_open(&root, child.pid, false, &pagemap), 0);
	assert_int_equal(
		pagemap_tenures(&pagemap, reserved_address(&reserved, SCATTERED_EXTENT * EXTENT),
			PAGES, tenures),
		0);
	for (size_t page = 0; page < PAGES; page++)
		assert_int_equal(tenures[page], page % 3 == 0 ? PAGE_OWN : PAGE_NOT_PRESENT);
	assert_int_equal(pagemap_tenures(&pagemap,
				 reserved_address(&reserved, ZERO_EXTENT * EXTENT), PAGES, tenures),
		0);
	for (size_t page = 0; page < PAGES; page++)
		assert_int_equal(tenures[page], PAGE_SHARED);
	assert_int_equal(
		pagemap_tenures(&pagemap, reserved_address(&reserved, 0), PAGES + 1, tenures),
		-EINVAL);
	pagemap_done(&pagemap);
	child_stop(&child);
}

static void test_kinds_tell_zero_pages_and_huge_ones(void **state)
{
	struct child child;

	(void)state;
	child_start(&child, lay_out, NULL);
	for (int scan = 0; scan <= 1; scan++) {
		uint8_t kinds[3 * 512];
		struct pagemap pagemap;

		open_or_skip(child.pid, scan, &pagemap);
		assert_int_equal(pagemap_kinds(&pagemap,
					 reserved_address(&reserved, SCATTERED_EXTENT * EXTENT),
					 2 * PAGES, kinds),
			0);
		for (size_t page = 0; page < 2 * PAGES; page++)
			assert_int_equal(kinds[page], page < PAGES ? 0 : PAGE_KIND_ZERO);
		if (host_gives_huge_pages()) {
			assert_int_equal(
				pagemap_kinds(&pagemap, reserved_address(&reserved, 0), PAGES, kinds), 0);
			for (size_t page = 0; page < PAGES; page++)
				assert_int_equal(kinds[page], PAGE_KIND_HUGE);
		}
		assert_int_equal(
			pagemap_kinds(&pagemap, reserved_address(&reserved, 1), 1, kinds), -EINVAL);
		pagemap_done(&pagemap);
	}
	child_stop(&child);
}

static void test_hostile_ranges_are_refused(void **state)
{
	const uint64_t page = reserved_address(&reserved, 0);
	const struct {
		uint64_t start, end;
	} cases[] = {
		{ page, page },
		{ page + PAGE, page },
		{ page + 1, page + PAGE },
		{ page, page + PAGE - 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases) * 2; i++) {
		const uint64_t start = cases[i / 2].start, end = cases[i / 2].end;
		struct page_counts counts;
		struct pagemap pagemap;
		struct page_run run;
		uint64_t walked;
		size_t count;

		assert_int_equal(pagemap_open(&root, getpid(), i % 2, &pagemap), 0);
		assert_int_equal(pagemap_count(&pagemap, start, end, &counts), -EINVAL);
		assert_int_equal(
			pagemap_readable_runs(&pagemap, start, end, &run, 1, &count, &walked),
			-EINVAL);
		pagemap_done(&pagemap);
	}
}

static void test_process_that_ended_has_no_pages(void **state)
{
	struct pagemap scan, fallback;
	struct page_counts counts;
	struct child child;

	(void)state;
	child_start(&child, lay_out, NULL);
	assert_int_equal(pagemap_open(&root, child.pid, true, &scan), 0);
	assert_int_equal(pagemap_open(&root, child.pid, false, &fallback), 0);
	child_stop(&child);
	/* First kernels with PAGEMAP_SCAN walked what was left: nothing. */
	if (pagemap_count(&scan, reserved_address(&reserved, 0),
		    reserved_address(&reserved, EXTENT), &counts) == 0)
		assert_int_equal(counts.present + counts.zero_page + counts.swapped, 0);
	assert_int_equal(pagemap_count(&fallback, reserved_address(&reserved, 0),
				 reserved_address(&reserved, EXTENT), &counts),
		-ESRCH);
	pagemap_done(&scan);
	pagemap_done(&fallback);
	assert_int_equal(pagemap_open(&root, child.pid, true, &scan), -ESRCH);
	assert_int_equal(pagemap_open(&root, INT_MAX, true, &scan), -ESRCH);
}

static void lay_out_twins(void *argument, char step)
{
	char *const extent = reserved_map(&reserved, 0, EXTENT, MADV_NOHUGEPAGE);

	(void)argument;
	(void)step;
	memset(extent, 0x5a, EXTENT);
	(void)madvise(extent, EXTENT, MADV_MERGEABLE);
}

/* ksmd gives no event; its pass counter is looked at every 10 ms. */
static bool wait_for_passes(uint64_t passes)
{
	const uint64_t deadline = clock_monotonic_ns() + 20 * NS_PER_S;
	uint64_t first, now;

	assert_int_equal(ksm_full_scans_read(&root, &first), 0);
	for (now = first; now < first + passes && clock_monotonic_ns() < deadline;) {
		(void)poll(NULL, 0, 10);
		assert_int_equal(ksm_full_scans_read(&root, &now), 0);
	}
	return now >= first + passes;
}

static void test_merged_pages_are_readable_and_share_frames(void **state)
{
	struct page_frame frames[512];
	struct page_counts counts;
	struct ksm_knobs knobs;
	struct pagemap pagemap;
	struct child child;
	size_t ksm = 0;

	(void)state;
	if (ksm_knobs_read(&root, &knobs) < 0 || knobs.run != 1) {
		print_message("SKIP: ksmd is not running, and a unit test does not start it\n");
		skip();
	}
	child_start(&child, lay_out_twins, NULL);
	open_or_skip(child.pid, false, &pagemap);
	if (!wait_for_passes(4)) {
		pagemap_done(&pagemap);
		child_stop(&child);
		print_message("SKIP: ksmd is too slow on this host\n");
		skip();
	}
	assert_int_equal(
		pagemap_frames(&pagemap, reserved_address(&reserved, 0), PAGES, frames), 0);
	for (size_t page = 0; page < PAGES; page++)
		ksm += frames[page].ksm;
	assert_int_equal(ksm, PAGES);
	assert_true(frames[0].mapcount > 1);
	counts = count_extents(&pagemap, 0, 1);
	assert_int_equal(counts.present, PAGES);
	pagemap_done(&pagemap);
	child_stop(&child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts_by_scan_tell_all_kinds_apart),
		cmocka_unit_test(test_counts_by_fallback_tell_all_kinds_apart),
		cmocka_unit_test(test_scan_and_fallback_see_the_same_runs),
		cmocka_unit_test(test_neighbouring_pages_are_one_run),
		cmocka_unit_test(test_frames_tell_who_maps_what),
		cmocka_unit_test(test_kinds_tell_zero_pages_and_huge_ones),
		cmocka_unit_test(test_tenures_tell_own_pages_from_shared_ones),
		cmocka_unit_test(test_hostile_ranges_are_refused),
		cmocka_unit_test(test_process_that_ended_has_no_pages),
		cmocka_unit_test(test_merged_pages_are_readable_and_share_frames),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
