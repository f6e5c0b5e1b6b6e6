// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/footprint.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tests/unit/fake_root.h"

#define STAT "42 (qemu) S 1 2 3 4 5 6 777 8 9 10 11 12 13 14 15 16 17 18 19 20 21\n"

static void test_footprint_is_size_residence_and_faults(void **state)
{
	struct footprint footprint;
	struct fake_root fake;
	struct host_root root;

	(void)state;
	fake_root_init(&fake);
	fake_root_write(&fake, "/proc/42/statm", "5000 300 20 1 0 400 0\n");
	fake_root_write(&fake, "/proc/42/stat", STAT);
	fake_root_write(&fake, "/proc/43/statm", "5000\n");
	fake_root_write(&fake, "/proc/43/stat", STAT);
	assert_int_equal(host_root_open(fake.path, &root), 0);
	assert_int_equal(footprint_read(&root, 42, &footprint), 0);
	assert_int_equal(footprint.size_pages, 5000);
	assert_int_equal(footprint.resident_pages, 300);
	assert_int_equal(footprint.faults, 777);
	assert_int_equal(footprint_read(&root, 43, &footprint), -EINVAL);
	assert_int_equal(footprint_read(&root, 44, &footprint), -ESRCH);
	host_root_done(&root);
	fake_root_done(&fake);
}

static void test_footprint_moves_by_residence_and_faults(void **state)
{
	const struct footprint then = { .size_pages = 5000, .resident_pages = 300, .faults = 777 };
	struct footprint now = then;

	(void)state;
	assert_int_equal(footprint_moved(&then, &now), 0);
	now.resident_pages = 290;
	now.faults = 782;
	assert_int_equal(footprint_moved(&then, &now), 15);
	now.size_pages++;
	assert_true(footprint_moved(&then, &now) == FOOTPRINT_NEW_LAYOUT);
}

/* The kernel's part of the promise. */
static void test_footprint_shows_what_a_process_writes_first(void **state)
{
	const size_t pages = 64;
	struct footprint before, after;
	struct host_root root;
	char *memory = mmap(
		NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_int_equal(madvise(memory, pages * 4096, MADV_NOHUGEPAGE), 0);
	assert_int_equal(host_root_open("", &root), 0);
	for (size_t page = 0; page < pages; page++) /* all map the one zero page now */
		(void)*(volatile char *)(memory + page * 4096);
	assert_int_equal(footprint_read(&root, getpid(), &before), 0);
	for (size_t page = 0; page < pages; page++)
		memory[page * 4096] = 1;
	assert_int_equal(footprint_read(&root, getpid(), &after), 0);
	assert_true(after.faults - before.faults >= pages);
	host_root_done(&root);
	(void)munmap(memory, pages * 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_footprint_is_size_residence_and_faults),
		cmocka_unit_test(test_footprint_moves_by_residence_and_faults),
		cmocka_unit_test(test_footprint_shows_what_a_process_writes_first),
	};

	return cmocka_run_group_tests_name("footprint", tests, NULL, NULL);
}
