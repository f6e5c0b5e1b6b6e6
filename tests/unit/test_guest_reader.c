// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/guest_reader.h"

#include <errno.h>
#include <limits.h>

#include "hypervisor-glue/smaps.h"
#include "tests/unit/child.h"
#include "tests/unit/fake_root.h"
#include "tests/unit/reserved_memory.h"

#define PAGE   RESERVED_PAGE
#define EXTENT RESERVED_EXTENT
#define PAGES  ((size_t)4096) /* 16 MiB: more scattered runs than one call takes */

/* Some pages are read twice. */
#define BUFFER_PAGES (PAGES + 2)

static struct host_root root;
static struct reserved_memory reserved;
static char *buffer;
static uint8_t *present;

static int setup(void **state)
{
	(void)state;
	assert_int_equal(host_root_open("", &root), 0);
	reserved_memory_init(&reserved, PAGES * PAGE);
	buffer = malloc(BUFFER_PAGES * PAGE);
	present = malloc(BUFFER_PAGES);
	assert_true(buffer && present);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(buffer);
	free(present);
	reserved_memory_done(&reserved);
	host_root_done(&root);
	return 0;
}

/* Each page begins with its number and ends with it. */
static void number_page(char *page, uint32_t number)
{
	memcpy(page, &number, sizeof(number));
	memcpy(page + PAGE - sizeof(number), &number, sizeof(number));
}

static void assert_number(const char *page, uint32_t number)
{
	uint32_t first, last;

	memcpy(&first, page, sizeof(first));
	memcpy(&last, page + PAGE - sizeof(last), sizeof(last));
	assert_int_equal(first, number);
	assert_int_equal(last, number);
}

/* Step 'u' takes pages 100, 101 and the last one away, step 'e' everything. */
static void write_all(void *argument, char step)
{
	(void)argument;
	if (step == 0) {
		(void)reserved_map(&reserved, 0, reserved.bytes, MADV_NOHUGEPAGE);
		for (uint32_t page = 0; page < PAGES; page++)
			number_page(reserved.memory + page * PAGE, page);
	} else if (step == 'u') {
		(void)munmap(reserved.memory + 100 * PAGE, 2 * PAGE);
		(void)munmap(reserved.memory + (PAGES - 1) * PAGE, PAGE);
	} else {
		(void)munmap(reserved.memory, reserved.bytes);
	}
}

static struct page_run run_of(size_t first, size_t last)
{
	return (struct page_run){
		.start = reserved_address(&reserved, first * PAGE),
		.end = reserved_address(&reserved, last * PAGE),
	};
}

static void start(struct child *child, child_work work, struct process *process)
{
	child_start(child, work, NULL);
	assert_int_equal(process_open(&root, child->pid, process), 0);
}

static void stop(struct child *child, struct process *process)
{
	process_done(process);
	child_stop(child);
}

static void test_runs_follow_each_other_in_the_buffer(void **state)
{
	struct process process;
	struct child child;
	struct page_run runs[3];

	(void)state;
	start(&child, write_all, &process);
	runs[0] = run_of(7, 9);
	runs[1] = run_of(500, 1500);
	runs[2] = run_of(3, 4);
	assert_int_equal(guest_reader_read(&process, runs, 3, buffer, present), 0);
	for (size_t page = 0; page < 1003; page++)
		assert_int_equal(present[page], 1);
	assert_number(buffer, 7);
	assert_number(buffer + PAGE, 8);
	for (uint32_t page = 0; page < 1000; page++)
		assert_number(buffer + (2 + page) * PAGE, 500 + page);
	assert_number(buffer + 1002 * PAGE, 3);
	stop(&child, &process);
}

static void test_more_runs_than_one_call_takes_are_read(void **state)
{
	const size_t count = PAGES / 2;
	struct page_run *const runs = calloc(count, sizeof(*runs));
	struct process process;
	struct child child;

	(void)state;
	assert_non_null(runs);
	assert_true(count > IOV_MAX);
	start(&child, write_all, &process);
	for (size_t i = 0; i < count; i++)
		runs[i] = run_of(2 * i, 2 * i + 1);
	assert_int_equal(guest_reader_read(&process, runs, count, buffer, present), 0);
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(present[i], 1);
		assert_number(buffer + i * PAGE, 2 * i);
	}
	stop(&child, &process);
	free(runs);
}

static void test_empty_runs_are_passed_over(void **state)
{
	struct process process;
	struct child child;
	struct page_run runs[5];

	(void)state;
	start(&child, write_all, &process);
	runs[0] = run_of(1, 1);
	runs[1] = run_of(5, 6);
	runs[2] = run_of(9, 9);
	runs[3] = run_of(9, 10);
	runs[4] = run_of(2, 2);
	assert_int_equal(guest_reader_read(&process, runs, 5, buffer, present), 0);
	assert_number(buffer, 5);
	assert_number(buffer + PAGE, 9);
	assert_int_equal(guest_reader_read(&process, runs, 1, buffer, present), 0);
	assert_int_equal(guest_reader_read(&process, runs, 0, buffer, present), 0);
	stop(&child, &process);
}

static void test_exactly_the_pages_that_went_away_are_absent(void **state)
{
	struct process process;
	struct child child;
	struct page_run runs[4];
	size_t at = 0;

	(void)state;
	start(&child, write_all, &process);
	child_step(&child, 'u');
	runs[0] = run_of(101, 102); /* nothing but a page that is gone */
	runs[1] = run_of(0, 2048);
	runs[2] = run_of(100, 101);
	runs[3] = run_of(2048, PAGES);
	memset(present, 7, BUFFER_PAGES);
	assert_int_equal(guest_reader_read(&process, &runs[0], 4, buffer, present), 0);
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
		for (uint64_t address = runs[i].start; address < runs[i].end;
			address += PAGE, at++) {
			const uint32_t page =
				(uint32_t)((address - reserved_address(&reserved, 0)) / PAGE);
			const bool gone = page == 100 || page == 101 || page == PAGES - 1;

			assert_int_equal(present[at], !gone);
			if (!gone)
				assert_number(buffer + at * PAGE, page);
		}
	stop(&child, &process);
}

static void test_memory_that_went_away_whole_is_absent(void **state)
{
	const struct page_run run = run_of(0, PAGES);
	struct process process;
	struct child child;

	(void)state;
	start(&child, write_all, &process);
	child_step(&child, 'e');
	assert_int_equal(guest_reader_read(&process, &run, 1, buffer, present), 0);
	for (size_t page = 0; page < PAGES; page++)
		assert_int_equal(present[page], 0);
	stop(&child, &process);
}

static void test_process_that_ended_is_no_process(void **state)
{
	const struct page_run run = run_of(0, 1);
	struct process process;
	struct child child;

	(void)state;
	start(&child, write_all, &process);
	child_kill(&child);
	assert_int_equal(guest_reader_read(&process, &run, 1, buffer, present), -ESRCH);
	assert_int_equal(guest_reader_read(&process, &run, 0, buffer, present), -ESRCH);
	child_stop(&child);
	assert_int_equal(guest_reader_read(&process, &run, 1, buffer, present), -ESRCH);
	process_done(&process);
}

/* A recycled pid looks like this: reading works, but the process that was meant has ended. */
static void test_pid_of_another_process_is_not_believed(void **state)
{
	struct process process, other;
	struct child child, other_child;
	const struct page_run run = run_of(0, 1);

	(void)state;
	start(&child, write_all, &process);
	start(&other_child, write_all, &other);
	child_kill(&child);
	process.id.pid = other.id.pid;
	assert_int_equal(guest_reader_read(&process, &run, 1, buffer, present), -ESRCH);
	stop(&child, &process);
	stop(&other_child, &other);
}

static void drop_privileges_and_read(const struct process *process)
{
	const struct page_run run = run_of(0, 1);
	const pid_t reader = fork();
	int status;

	assert_true(reader >= 0);
	if (reader == 0) {
		if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
			_exit(2);
		_exit(guest_reader_read(process, &run, 1, buffer, present) == -EPERM ? 0 : 1);
	}
	assert_int_equal(waitpid(reader, &status, 0), reader);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_foreign_memory_is_refused(void **state)
{
	struct process process;
	struct child child;

	(void)state;
	if (geteuid() != 0) {
		print_message("SKIP: only root can become somebody else\n");
		skip();
	}
	start(&child, write_all, &process);
	drop_privileges_and_read(&process);
	stop(&child, &process);
}

/* Half written and half not, some of it zero-page-mapped, some huge, some paged out. */
static void lay_out_mixed(void *argument, char step)
{
	volatile char sink = 0;
	char *memory;

	(void)argument;
	(void)step;
	memory = reserved_map(&reserved, 0, EXTENT, MADV_HUGEPAGE);
	memset(memory, 1, EXTENT);
	memory = reserved_map(&reserved, EXTENT, 5 * EXTENT, MADV_NOHUGEPAGE);
	for (size_t page = 0; page < 512; page += 2)
		memory[page * PAGE] = 2;
	for (size_t page = 512; page < 1024; page++)
		sink = (char)(sink + memory[page * PAGE]);
	memset(memory + 2 * EXTENT, 3, EXTENT);
	(void)madvise(memory + 2 * EXTENT, EXTENT, MADV_PAGEOUT);
}

struct residency {
	uint64_t rss_bytes, swap_bytes;
};

/* Of what lay_out_mixed() mapped; the rest of the child may still move. */
static struct residency residency_of(pid_t pid)
{
	struct residency residency = { 0 };
	struct smaps_list list;

	assert_int_equal(smaps_read(&root, pid, &list), 0);
	for (size_t i = 0; i < list.count; i++) {
		const struct vma *const vma = &list.vmas[i];

		if (vma->start < reserved_address(&reserved, 0) ||
			vma->end > reserved_address(&reserved, reserved.bytes))
			continue;
		residency.rss_bytes += vma->rss_bytes;
		residency.swap_bytes += vma->swap_bytes;
	}
	smaps_list_done(&list);
	return residency;
}

static void scan_and_read(const struct process *process, bool allow_scan)
{
	const uint64_t end = reserved_address(&reserved, reserved.bytes);
	uint64_t at = reserved_address(&reserved, 0);
	struct pagemap pagemap;

	assert_int_equal(pagemap_open(&root, process->id.pid, allow_scan, &pagemap), 0);
	while (at < end) {
		struct page_run runs[64];
		size_t count;

		assert_int_equal(
			pagemap_readable_runs(&pagemap, at, end, runs, 64, &count, &at), 0);
		assert_int_equal(guest_reader_read(process, runs, count, buffer, present), 0);
		for (size_t i = 0, page = 0; i < count; i++)
			for (uint64_t a = runs[i].start; a < runs[i].end; a += PAGE)
				assert_int_equal(present[page++], 1);
	}
	pagemap_done(&pagemap);
}

static void test_scanning_and_reading_faults_nothing_in(void **state)
{
	struct process process;
	struct child child;
	struct residency before, after;

	(void)state;
	start(&child, lay_out_mixed, &process);
	before = residency_of(child.pid);
	assert_true(before.rss_bytes > EXTENT);
	if (before.swap_bytes == 0)
		print_message("no swap on this host: only holes and zero pages are tried\n");
	for (int allow_scan = 0; allow_scan < 2; allow_scan++) {
		scan_and_read(&process, allow_scan);
		after = residency_of(child.pid);
		assert_int_equal(after.rss_bytes, before.rss_bytes);
		assert_int_equal(after.swap_bytes, before.swap_bytes);
	}
	stop(&child, &process);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs_follow_each_other_in_the_buffer),
		cmocka_unit_test(test_more_runs_than_one_call_takes_are_read),
		cmocka_unit_test(test_empty_runs_are_passed_over),
		cmocka_unit_test(test_exactly_the_pages_that_went_away_are_absent),
		cmocka_unit_test(test_memory_that_went_away_whole_is_absent),
		cmocka_unit_test(test_process_that_ended_is_no_process),
		cmocka_unit_test(test_pid_of_another_process_is_not_believed),
		cmocka_unit_test(test_foreign_memory_is_refused),
		cmocka_unit_test(test_scanning_and_reading_faults_nothing_in),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
