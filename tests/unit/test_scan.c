// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/child.h"
#include "tests/unit/reserved_memory.h"

/* What the pages of the child's extent hold. */
enum {
	PAGE_OF_ZEROS,
	PAGE_OF_A,
	PAGE_OF_A_TOO,
	PAGE_OF_B,
	PAGE_HOLE,
	PAGE_ONLY_READ, /* the kernel's zero page */
	PAGE_LAST = EXTENT_PAGES - 1,
};

static int setup_scanner(struct scanner *scanner, struct host_root *root)
{
	(void)alarm(60);
	assert_int_equal(host_root_open("", root), 0);
	return scanner_init(scanner);
}

struct subject {
	struct reserved_memory memory;
	struct child child;
	struct host_root root;
	struct process process;
	struct pagemap pagemap;
	struct scanner scanner;
	struct scan_source source;
	struct extent extent;
};

static struct subject *subject_start(child_work work, bool allow_scan)
{
	struct subject *subject = calloc(1, sizeof(*subject));

	assert_non_null(subject);
	assert_int_equal(setup_scanner(&subject->scanner, &subject->root), 0);
	reserved_memory_init(&subject->memory, RESERVED_EXTENT);
	child_start(&subject->child, work, &subject->memory);
	assert_int_equal(process_open(&subject->root, subject->child.pid, &subject->process), 0);
	assert_int_equal(pagemap_open(&subject->root, subject->child.pid, allow_scan,
				 &subject->pagemap), 0);
	subject->source = (struct scan_source){
		.root = &subject->root,
		.process = &subject->process,
		.pagemap = &subject->pagemap,
		.trust = TRUST_HUGE,
	};
	subject->extent = (struct extent){
		.start = reserved_address(&subject->memory, 0),
		.end = reserved_address(&subject->memory, RESERVED_EXTENT),
	};
	return subject;
}

static void subject_end(struct subject *subject)
{
	extent_prints_free(subject->extent.prints);
	pagemap_done(&subject->pagemap);
	process_done(&subject->process);
	child_stop(&subject->child);
	reserved_memory_done(&subject->memory);
	scanner_done(&subject->scanner);
	host_root_done(&subject->root);
	free(subject);
	(void)alarm(0);
}

static void scan(struct subject *subject)
{
	assert_int_equal(scan_extent(&subject->scanner, &subject->source, &subject->extent), 0);
}

static enum page_state state_of(const struct subject *subject, unsigned page)
{
	return extent_prints_state(subject->extent.prints, page);
}

static uint64_t print_of(const struct subject *subject, unsigned page)
{
	return extent_prints_get(subject->extent.prints, page);
}

static void fill(char *memory, unsigned page, int byte)
{
	memset(memory + page * RESERVED_PAGE, byte, RESERVED_PAGE);
}

static void small_pages(void *argument, char step)
{
	const struct reserved_memory *reserved = argument;
	char *memory = reserved->memory;

	switch (step) {
	case 0:
		(void)reserved_map(reserved, 0, RESERVED_EXTENT, MADV_NOHUGEPAGE);
		fill(memory, PAGE_OF_ZEROS, 0);
		fill(memory, PAGE_OF_A, 'A');
		fill(memory, PAGE_OF_A_TOO, 'A');
		fill(memory, PAGE_OF_B, 'B');
		(void)*(volatile char *)(memory + PAGE_ONLY_READ * RESERVED_PAGE);
		fill(memory, PAGE_LAST, 'Z');
		break;
	case 'w':
		memory[PAGE_OF_B * RESERVED_PAGE + 4095] = 'b';
		break;
	case 'd':
		(void)madvise(memory + PAGE_OF_B * RESERVED_PAGE, RESERVED_PAGE, MADV_DONTNEED);
		break;
	case 'u':
		(void)munmap(memory, RESERVED_EXTENT);
		break;
	}
}

/* ---- what is read ---- */

static void assert_small_pages_read(struct subject *subject)
{
	struct page_counts before, after;

	assert_int_equal(pagemap_count(&subject->pagemap, subject->extent.start,
				 subject->extent.end, &before), 0);
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
				 subject->extent.end, &after), 0);
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

/* ---- samples ---- */

/* Every page its own content, but for a hole in the middle. */
static void many_pages(void *argument, char step)
{
	const struct reserved_memory *reserved = argument;
	char *memory = reserved->memory;

	switch (step) {
	case 0:
		(void)reserved_map(reserved, 0, RESERVED_EXTENT, MADV_NOHUGEPAGE);
		for (unsigned page = 0; page < EXTENT_PAGES; page++)
			if (page != PAGE_HOLE)
				fill(memory, page, (int)(page % 255) + 1);
		break;
	case 'h': /* the hole is filled */
		fill(memory, PAGE_HOLE, 'h');
		break;
	case 'd':
		(void)madvise(memory + PAGE_OF_B * RESERVED_PAGE, RESERVED_PAGE, MADV_DONTNEED);
		break;
	case 'a': /* all but a few */
		for (unsigned page = PAGE_HOLE + 1; page < EXTENT_PAGES; page++)
			memory[page * RESERVED_PAGE + 100]++;
		break;
	}
}

static uint64_t scan_again(struct subject *subject)
{
	const uint64_t before = subject->scanner.pages_read;

	assert_int_equal(
		scan_extent_again(&subject->scanner, &subject->source, &subject->extent), 0);
	return subject->scanner.pages_read - before;
}

static void test_scan_again_reads_a_sample_of_what_has_not_changed(void **state)
{
	struct subject *subject = subject_start(many_pages, true);
	struct extent_prints *prints;

	(void)state;
	scan(subject);
	prints = subject->extent.prints;
	for (unsigned visit = 2; visit < 10; visit++) {
		assert_int_equal(scan_again(subject), SCAN_SAMPLE_PAGES);
		assert_ptr_equal(subject->extent.prints, prints);
		assert_int_equal(subject->extent.visits, visit);
		assert_int_equal(subject->extent.quiet, visit);
		assert_int_equal(subject->extent.changed, 0);
		assert_int_equal(subject->extent.pages_read, EXTENT_PAGES - 1);
	}
	subject_end(subject);
}

static void test_scan_again_reads_all_where_the_sample_differs(void **state)
{
	struct subject *subject = subject_start(many_pages, true);

	(void)state;
	scan(subject);
	child_step(&subject->child, 'a');
	/* 507 of 511 changed: no 32 pages can miss that. */
	assert_true(scan_again(subject) > EXTENT_PAGES - 1);
	assert_int_equal(subject->extent.changed, EXTENT_PAGES - PAGE_HOLE - 1);
	assert_int_equal(subject->extent.restless, 1);
	assert_int_equal(subject->extent.quiet, 0);
	/* And is up to date now. */
	assert_int_equal(scan_again(subject), SCAN_SAMPLE_PAGES);
	assert_int_equal(subject->extent.restless, 0);
	subject_end(subject);
}

static void test_scan_again_reads_what_has_come_and_forgets_what_has_gone(void **state)
{
	struct subject *subject = subject_start(many_pages, true);

	(void)state;
	scan(subject);
	extent_prints_set_state(subject->extent.prints, PAGE_OF_A, PAGE_TWIN);
	child_step(&subject->child, 'h');
	assert_int_equal(scan_again(subject), SCAN_SAMPLE_PAGES + 1);
	assert_int_equal(subject->extent.changed, 1);
	assert_int_equal(subject->extent.pages_read, EXTENT_PAGES);
	assert_int_equal(state_of(subject, PAGE_HOLE), PAGE_SINGLE);
	child_step(&subject->child, 'd');
	assert_int_equal(scan_again(subject), SCAN_SAMPLE_PAGES);
	assert_int_equal(subject->extent.changed, 1);
	assert_int_equal(subject->extent.pages_read, EXTENT_PAGES - 1);
	assert_int_equal(state_of(subject, PAGE_OF_B), PAGE_ABSENT);
	assert_int_equal(state_of(subject, PAGE_OF_A), PAGE_TWIN); /* what was known stays known */
	assert_int_equal(subject->extent.twins, 1);
	subject_end(subject);
}

static void test_scan_again_finds_nothing_where_all_was_unmapped(void **state)
{
	struct subject *subject = subject_start(small_pages, true);

	(void)state;
	scan(subject);
	child_step(&subject->child, 'u');
	assert_int_equal(scan_again(subject), 0);
	assert_null(subject->extent.prints);
	assert_int_equal(subject->extent.changed, 5);
	assert_int_equal(scan_again(subject), 0);
	assert_int_equal(subject->extent.changed, 0);
	subject_end(subject);
}

/* ---- shared by fork ---- */

static void inherited(void *argument, char step)
{
	const struct reserved_memory *reserved = argument;

	if (!step) /* one of its own beside what it inherited */
		fill(reserved->memory, PAGE_OF_B, 'O');
}

static struct subject *fork_shared_start(void)
{
	struct reserved_memory memory;
	struct subject *subject = calloc(1, sizeof(*subject));

	assert_non_null(subject);
	assert_int_equal(setup_scanner(&subject->scanner, &subject->root), 0);
	reserved_memory_init(&memory, RESERVED_EXTENT);
	(void)reserved_map(&memory, 0, RESERVED_EXTENT, MADV_NOHUGEPAGE);
	fill(memory.memory, PAGE_OF_A, 'A');
	fill(memory.memory, PAGE_OF_B, 'B');
	fill(memory.memory, PAGE_OF_ZEROS, 0);
	subject->memory = memory;
	child_start(&subject->child, inherited, &subject->memory);
	assert_int_equal(process_open(&subject->root, subject->child.pid, &subject->process), 0);
	assert_int_equal(
		pagemap_open(&subject->root, subject->child.pid, true, &subject->pagemap), 0);
	subject->source = (struct scan_source){
		&subject->root, &subject->process, &subject->pagemap, TRUST_NOTHING, false
	};
	subject->extent.start = reserved_address(&memory, 0);
	subject->extent.end = reserved_address(&memory, RESERVED_EXTENT);
	return subject;
}

static void assert_still_shared(struct subject *subject)
{
	uint8_t tenures[EXTENT_PAGES];

	assert_int_equal(pagemap_tenures(
		&subject->pagemap, subject->extent.start, EXTENT_PAGES, tenures), 0);
	assert_int_equal(tenures[PAGE_OF_A], PAGE_SHARED);
	assert_int_equal(tenures[PAGE_OF_ZEROS], PAGE_SHARED);
	assert_int_equal(tenures[PAGE_OF_B], PAGE_OWN);
}

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

static void test_scan_again_leaves_shared_pages_shared(void **state)
{
	struct subject *subject = fork_shared_start();

	(void)state;
	scan(subject);
	assert_int_equal(scan_again(subject), 3);
	assert_int_equal(subject->extent.changed, 0);
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
	/* What is left out has not just come, either. */
	(void)scan_again(subject);
	assert_int_equal(subject->extent.changed, 0);
	assert_int_equal(subject->extent.pages_read, 1);
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
		cmocka_unit_test(test_scan_again_reads_a_sample_of_what_has_not_changed),
		cmocka_unit_test(test_scan_again_reads_all_where_the_sample_differs),
		cmocka_unit_test(test_scan_again_reads_what_has_come_and_forgets_what_has_gone),
		cmocka_unit_test(test_scan_again_finds_nothing_where_all_was_unmapped),
		cmocka_unit_test(test_scan_leaves_shared_pages_shared),
		cmocka_unit_test(test_scan_again_leaves_shared_pages_shared),
		cmocka_unit_test(test_scan_leaves_out_what_is_shared_by_fork_when_asked_to),
	};

	return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
