// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/scan_subject.h"

/* ---- what is read ---- */

static void assert_small_pages_read(struct subject *subject)
{
	struct page_counts before, after;

	assert_int_equal(pagemap_count(&subject->pagemap, subject->extent.start,
				 subject->extent.end, &before),
		0);
	scan(subject);
	assert_int_equal(state_of(subject, PAGE_OF_ZEROS), PAGE_ZERO);
	assert_int_equal(state_of(subject, PAGE_OF_A), PAGE_SINGLE);
	assert_int_equal(state_of(subject, PAGE_OF_A_TOO), PAGE_SINGLE);
	assert_int_equal(state_of(subject, PAGE_OF_B), PAGE_SINGLE);
	assert_int_equal(state_of(subject, PAGE_HOLE), PAGE_ABSENT);
	assert_int_equal(state_of(subject, PAGE_LAST), PAGE_SINGLE);
	assert_int_equal(print_of(subject, PAGE_OF_A), print_of(subject, PAGE_OF_A_TOO));
	assert_int_not_equal(print_of(subject, PAGE_OF_A), print_of(subject, PAGE_OF_B));
	assert_int_equal(subject->extent.zeros, 1);
	assert_int_equal(subject->extent.visits, 1);
	assert_int_equal(subject->extent.changed, 0);
	assert_false(subject->extent.huge);
	/* Nothing was faulted in by it. */
	assert_int_equal(pagemap_count(&subject->pagemap, subject->extent.start,
				 subject->extent.end, &after),
		0);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(after.present + after.zero_page, 6);
}

static void test_scan_reads_what_is_there_and_faults_nothing_in(void **state)
{
	struct subject *subject = subject_start(small_pages, true);

	(void)state;
	assert_small_pages_read(subject);
	assert_int_equal(state_of(subject, PAGE_ONLY_READ), PAGE_ABSENT);
	assert_int_equal(subject->extent.pages_read, 5);
	assert_int_equal(subject->scanner.pages_read, 5);
	subject_end(subject);
}

static void test_scan_reads_the_same_without_pagemap_scan(void **state)
{
	struct subject *subject = subject_start(small_pages, false);

	(void)state;
	assert_small_pages_read(subject);
	subject_end(subject);
}

static void test_scan_part_of_an_extent_stays_in_its_place(void **state)
{
	struct subject *subject = subject_start(small_pages, true);

	(void)state;
	subject->extent.start += PAGE_OF_A_TOO * RESERVED_PAGE;
	subject->extent.end = subject->extent.start + 2 * RESERVED_PAGE;
	scan(subject);
	assert_int_equal(subject->extent.pages_read, 2);
	assert_int_equal(state_of(subject, PAGE_OF_A), PAGE_ABSENT);
	assert_int_equal(state_of(subject, PAGE_OF_A_TOO), PAGE_SINGLE);
	assert_int_equal(state_of(subject, PAGE_OF_B), PAGE_SINGLE);
	subject_end(subject);
}

static void scattered_pages(void *argument, char step)
{
	char *memory;

	if (step)
		return;
	memory = reserved_map(argument, 0, RESERVED_EXTENT, MADV_NOHUGEPAGE);
	for (unsigned page = 0; page < EXTENT_PAGES; page += 2)
		fill(memory, page, (int)(page / 2 % 255) + 1);
}

/* As many runs as an extent can have. */
static void test_scan_pages_apart_are_all_read(void **state)
{
	struct subject *subject = subject_start(scattered_pages, true);

	(void)state;
	scan(subject);
	assert_int_equal(subject->extent.pages_read, EXTENT_PAGES / 2);
	for (unsigned page = 0; page < EXTENT_PAGES; page++)
		assert_int_equal(state_of(subject, page), page % 2 ? PAGE_ABSENT : PAGE_SINGLE);
	assert_int_equal(print_of(subject, 0), print_of(subject, 510));
	assert_int_not_equal(print_of(subject, 0), print_of(subject, 2));
	subject_end(subject);
}

static void huge_page(void *argument, char step)
{
	char *memory;

	if (step)
		return;
	memory = reserved_map(argument, 0, RESERVED_EXTENT, MADV_HUGEPAGE);
	fill(memory, 7, 'H');
}

static void test_scan_huge_page_is_read_whole(void **state)
{
	struct subject *subject = subject_start(huge_page, true);

	(void)state;
	scan(subject);
	if (!subject->extent.huge) {
		subject_end(subject);
		print_message("SKIP: no huge page was to be had\n");
		skip();
	}
	assert_int_equal(subject->extent.pages_read, EXTENT_PAGES);
	assert_int_equal(subject->extent.zeros, EXTENT_PAGES - 1);
	assert_int_equal(state_of(subject, 7), PAGE_SINGLE);
	subject_end(subject);
}

/* ---- visits ---- */

static void test_scan_visits_tell_what_changed(void **state)
{
	struct subject *subject = subject_start(small_pages, true);
	struct extent *extent = &subject->extent;

	(void)state;
	scan(subject);
	assert_int_equal(extent->quiet, 1);
	for (unsigned page = PAGE_OF_A; page <= PAGE_OF_B; page++)
		extent_prints_set_state(extent->prints, page, PAGE_TWIN);
	scan(subject);
	assert_int_equal(extent->changed, 0);
	assert_int_equal(extent->twins, 3);
	assert_int_equal(extent->quiet, 2);
	child_step(&subject->child, 'w');
	scan(subject);
	assert_int_equal(extent->changed, 1);
	assert_int_equal(extent->twins, 2); /* what has changed is to be counted anew */
	assert_int_equal(extent->quiet, 0);
	assert_int_equal(extent->restless, 1);
	child_step(&subject->child, 'd');
	scan(subject);
	assert_int_equal(extent->changed, 1);
	assert_int_equal(extent->pages_read, 4);
	assert_int_equal(extent->visits, 4);
	subject_end(subject);
}

static void test_scan_extent_that_was_unmapped_has_nothing(void **state)
{
	struct subject *subject = subject_start(small_pages, true);

	(void)state;
	scan(subject);
	child_step(&subject->child, 'u');
	scan(subject);
	assert_null(subject->extent.prints);
	assert_int_equal(subject->extent.pages_read, 0);
	assert_int_equal(subject->extent.changed, 5);
	subject_end(subject);
}

static void test_scan_counts_of_visits_saturate(void **state)
{
	struct subject *subject = subject_start(small_pages, true);

	(void)state;
	scan(subject);
	subject->extent.visits = subject->extent.quiet = UINT8_MAX;
	scan(subject);
	assert_int_equal(subject->extent.visits, UINT8_MAX);
	assert_int_equal(subject->extent.quiet, UINT8_MAX);
	subject_end(subject);
}

static void test_scan_of_a_process_that_ended_leaves_the_extent_as_it_was(void **state)
{
	struct subject *subject = subject_start(small_pages, true);
	struct extent_prints *before;
	int error;

	(void)state;
	scan(subject);
	before = subject->extent.prints;
	child_kill(&subject->child);
	error = scan_extent(&subject->scanner, &subject->source, &subject->extent);
	if (!error) /* some kernels say of a dead address space that it is empty */
		assert_null(subject->extent.prints);
	else {
		assert_int_equal(error, -ESRCH);
		assert_ptr_equal(subject->extent.prints, before);
		assert_int_equal(subject->extent.visits, 1);
	}
	subject_end(subject);
}

/* ---- shared by fork ---- */

static void test_scan_leaves_shared_pages_shared(void **state)
{
	struct subject *subject = fork_shared_start();

	(void)state;
	assert_still_shared(subject);
	scan(subject);
	assert_int_equal(subject->extent.pages_read, 3);
	assert_int_equal(state_of(subject, PAGE_OF_A), PAGE_SINGLE);
	assert_int_equal(state_of(subject, PAGE_OF_ZEROS), PAGE_ZERO);
	assert_still_shared(subject);
	subject_end(subject);
}

static void test_scan_leaves_out_what_is_shared_by_fork_when_asked_to(void **state)
{
	struct subject *subject = fork_shared_start();

	(void)state;
	if (subject->pagemap.kpageflags_fd < 0) {
		subject_end(subject);
		print_message("SKIP: /proc/kpageflags is root's\n");
		skip();
	}
	subject->source.skip_fork_shared = true;
	scan(subject);
	assert_int_equal(subject->extent.pages_read, 1);
	assert_int_equal(subject->extent.zeros, 0);
	assert_int_equal(state_of(subject, PAGE_OF_A), PAGE_ABSENT);
	assert_int_equal(state_of(subject, PAGE_OF_ZEROS), PAGE_ABSENT);
	assert_int_equal(state_of(subject, PAGE_OF_B), PAGE_SINGLE);
	assert_still_shared(subject);
	subject_end(subject);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scan_reads_what_is_there_and_faults_nothing_in),
		cmocka_unit_test(test_scan_reads_the_same_without_pagemap_scan),
		cmocka_unit_test(test_scan_part_of_an_extent_stays_in_its_place),
		cmocka_unit_test(test_scan_pages_apart_are_all_read),
		cmocka_unit_test(test_scan_huge_page_is_read_whole),
		cmocka_unit_test(test_scan_visits_tell_what_changed),
		cmocka_unit_test(test_scan_extent_that_was_unmapped_has_nothing),
		cmocka_unit_test(test_scan_counts_of_visits_saturate),
		cmocka_unit_test(test_scan_of_a_process_that_ended_leaves_the_extent_as_it_was),
		cmocka_unit_test(test_scan_leaves_shared_pages_shared),
		cmocka_unit_test(test_scan_leaves_out_what_is_shared_by_fork_when_asked_to),
	};

	return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
