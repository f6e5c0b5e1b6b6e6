// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/scan_subject.h"

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

static void test_scan_again_does_not_take_for_new_what_is_left_out(void **state)
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
	(void)scan_again(subject);
	assert_int_equal(subject->extent.changed, 0);
	assert_int_equal(subject->extent.pages_read, 1);
	assert_still_shared(subject);
	subject_end(subject);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scan_again_reads_a_sample_of_what_has_not_changed),
		cmocka_unit_test(test_scan_again_reads_all_where_the_sample_differs),
		cmocka_unit_test(test_scan_again_reads_what_has_come_and_forgets_what_has_gone),
		cmocka_unit_test(test_scan_again_finds_nothing_where_all_was_unmapped),
		cmocka_unit_test(test_scan_again_leaves_shared_pages_shared),
		cmocka_unit_test(test_scan_again_does_not_take_for_new_what_is_left_out),
	};

	return cmocka_run_group_tests_name("scan_again", tests, NULL, NULL);
}
