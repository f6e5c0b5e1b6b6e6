// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/ksm.h"

#include <errno.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>

#include "tests/unit/child.h"
#include "tests/unit/fake_root.h"

#define KSM   "/sys/kernel/mm/ksm/"
#define NODES "/sys/devices/system/node/"

static void write_full_ksm(const struct fake_root *fake)
{
	fake_root_write(fake, KSM "run", "0\n");
	fake_root_write(fake, KSM "pages_to_scan", "100\n");
	fake_root_write(fake, KSM "sleep_millisecs", "20\n");
	fake_root_write(fake, KSM "smart_scan", "1\n");
	fake_root_write(fake, KSM "use_zero_pages", "0\n");
	fake_root_write(fake, KSM "advisor_mode", "[none] scan-time\n");
	fake_root_write(fake, KSM "full_scans", "3\n");
	fake_root_write(fake, KSM "pages_shared", "10\n");
	fake_root_write(fake, KSM "pages_sharing", "20\n");
	fake_root_write(fake, KSM "pages_unshared", "30\n");
	fake_root_write(fake, KSM "pages_volatile", "40\n");
	fake_root_write(fake, KSM "ksm_zero_pages", "-2\n");
	fake_root_write(fake, KSM "pages_scanned", "60\n");
	fake_root_write(fake, KSM "merge_across_nodes", "1\n");
}

static void test_knobs_are_read(void **state)
{
	const struct ksm_knobs expected = { 0, 100, 20, 1, 0, 0 };
	struct fake_root fake;
	struct ksm_knobs knobs;

	(void)state;
	fake_root_init(&fake);
	write_full_ksm(&fake);
	assert_int_equal(ksm_knobs_read(&fake.root, &knobs), 0);
	assert_true(ksm_knobs_equal(&knobs, &expected));
	fake_root_done(&fake);
}

static void test_knobs_of_an_old_kernel_are_absent(void **state)
{
	struct fake_root fake;
	struct ksm_knobs knobs;

	(void)state;
	fake_root_init(&fake);
	fake_root_write(&fake, KSM "run", "1\n");
	fake_root_write(&fake, KSM "pages_to_scan", "100\n");
	fake_root_write(&fake, KSM "sleep_millisecs", "20\n");
	assert_int_equal(ksm_knobs_read(&fake.root, &knobs), 0);
	assert_int_equal(knobs.smart_scan, KSM_KNOB_ABSENT);
	assert_int_equal(knobs.use_zero_pages, KSM_KNOB_ABSENT);
	assert_int_equal(knobs.advisor_scan_time, KSM_KNOB_ABSENT);
	knobs.pages_to_scan = 7;
	assert_int_equal(ksm_knobs_write(&fake.root, &knobs), 0);
	fake_root_assert_text(&fake, KSM "pages_to_scan", "7");
	fake_root_done(&fake);
}

static void test_no_ksm_is_no_entry(void **state)
{
	struct ksm_knobs knobs = { 0 };
	struct ksm_counters counters;
	struct fake_root fake;
	uint64_t scans;
	int fd;

	(void)state;
	fake_root_init(&fake);
	assert_int_equal(ksm_knobs_read(&fake.root, &knobs), -ENOENT);
	assert_int_equal(ksm_knobs_write(&fake.root, &knobs), -ENOENT);
	assert_int_equal(ksm_counters_read(&fake.root, &counters), -ENOENT);
	assert_int_equal(ksm_full_scans_read(&fake.root, &scans), -ENOENT);
	assert_int_equal(ksm_driver_lock(&fake.root, &fd), -ENOENT);
	fake_root_done(&fake);
}

static void test_hostile_knobs_are_refused(void **state)
{
	static const char *const cases[] = { "", "\n", "x\n", "1 2\n", "0x1\n", "--1\n", "1-\n",
		"9223372036854775808\n", "99999999999999999999\n" };
	struct fake_root fake;

	(void)state;
	fake_root_init(&fake);
	write_full_ksm(&fake);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ksm_knobs knobs;

		fake_root_write(&fake, KSM "smart_scan", cases[i]);
		assert_int_equal(ksm_knobs_read(&fake.root, &knobs), -EINVAL);
	}
	fake_root_done(&fake);
}

static void test_knobs_written_are_read_back(void **state)
{
	const struct ksm_knobs wanted = { 1, 100000, 0, 0, 1, 0 };
	struct fake_root fake;
	struct ksm_knobs knobs;

	(void)state;
	fake_root_init(&fake);
	write_full_ksm(&fake);
	assert_int_equal(ksm_knobs_write(&fake.root, &wanted), 0);
	assert_int_equal(ksm_knobs_read(&fake.root, &knobs), 0);
	assert_true(ksm_knobs_equal(&knobs, &wanted));
	fake_root_assert_text(&fake, KSM "pages_to_scan", "100000");
	/* What is as it should be is left alone: writing 2 to run again would unmerge again. */
	fake_root_assert_text(&fake, KSM "advisor_mode", "[none] scan-time\n");
	fake_root_done(&fake);
}

/* The name of the file that was written next, by the directory's own account. */
static void assert_next_written(int watch, const char *name)
{
	char buffer[sizeof(struct inotify_event) + NAME_MAX + 1];
	struct inotify_event event;

	/* One event at a time: the next one would not fit as well. */
	assert_true(read(watch, buffer, sizeof(event) + 16) > (ssize_t)sizeof(event));
	memcpy(&event, buffer, sizeof(event));
	assert_string_equal(buffer + offsetof(struct inotify_event, name), name);
}

static void test_ksmd_is_stopped_first_and_started_last(void **state)
{
	struct ksm_knobs wanted = { 1, 500, 20, 1, 0, 0 };
	struct fake_root fake;
	char path[512];
	int watch;

	(void)state;
	fake_root_init(&fake);
	write_full_ksm(&fake);
	fake_root_write(&fake, KSM "advisor_mode", "none [scan-time]\n");
	fake_root_path(&fake, KSM, path);
	watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	assert_true(watch >= 0);
	assert_true(inotify_add_watch(watch, path, IN_CLOSE_WRITE) >= 0);
	assert_int_equal(ksm_knobs_write(&fake.root, &wanted), 0);
	assert_next_written(watch, "advisor_mode");
	assert_next_written(watch, "pages_to_scan");
	assert_next_written(watch, "run");
	fake_root_write(&fake, KSM "advisor_mode", "[none] scan-time\n");
	assert_next_written(watch, "advisor_mode");
	wanted.run = 0;
	wanted.smart_scan = 0;
	assert_int_equal(ksm_knobs_write(&fake.root, &wanted), 0);
	assert_next_written(watch, "run");
	assert_next_written(watch, "smart_scan");
	(void)close(watch);
	fake_root_done(&fake);
}

static void test_advisor_owns_pages_to_scan(void **state)
{
	const struct ksm_knobs advised = { 1, 5, 20, 1, 0, 1 }, other = { 1, 500, 20, 1, 0, 1 };
	struct fake_root fake;

	(void)state;
	fake_root_init(&fake);
	write_full_ksm(&fake);
	assert_int_equal(ksm_knobs_write(&fake.root, &advised), 0);
	fake_root_assert_text(&fake, KSM "advisor_mode", "scan-time");
	fake_root_assert_text(&fake, KSM "pages_to_scan", "100\n");
	assert_true(ksm_knobs_equal(&advised, &other));
	fake_root_done(&fake);
}

static void test_each_knob_makes_a_difference(void **state)
{
	const struct ksm_knobs one = { 0, 100, 20, 1, 0, 0 };

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		struct ksm_knobs other = one;

		switch (i) {
		case 0:
			other.run = 1;
			break;
		case 1:
			other.pages_to_scan = 1;
			break;
		case 2:
			other.sleep_millisecs = 1;
			break;
		case 3:
			other.smart_scan = 0;
			break;
		case 4:
			other.use_zero_pages = 1;
			break;
		default:
			other.advisor_scan_time = 1;
			break;
		}
		assert_false(ksm_knobs_equal(&one, &other));
	}
	assert_true(ksm_knobs_equal(&one, &one));
}

static void test_first_error_is_returned_and_the_rest_is_written(void **state)
{
	const struct ksm_knobs wanted = { 1, 100000, 0, 0, 1, 0 };
	struct fake_root fake;
	char path[512];

	(void)state;
	fake_root_init(&fake);
	write_full_ksm(&fake);
	/* Readable, but no file that anybody can open for writing, root included. */
	fake_root_path(&fake, KSM "sleep_millisecs", path);
	assert_int_equal(unlink(path), 0);
	fake_root_link(&fake, KSM "sleep_millisecs", "/proc/sys/kernel/ngroups_max");
	assert_int_not_equal(ksm_knobs_write(&fake.root, &wanted), 0);
	fake_root_assert_text(&fake, KSM "pages_to_scan", "100000");
	fake_root_assert_text(&fake, KSM "smart_scan", "0");
	fake_root_assert_text(&fake, KSM "use_zero_pages", "1");
	fake_root_assert_text(&fake, KSM "run", "1");
	fake_root_done(&fake);
}

static void test_counters_are_read(void **state)
{
	struct ksm_counters counters;
	struct fake_root fake;
	uint64_t scans;

	(void)state;
	fake_root_init(&fake);
	write_full_ksm(&fake);
	assert_int_equal(ksm_counters_read(&fake.root, &counters), 0);
	assert_int_equal(counters.full_scans, 3);
	assert_int_equal(counters.pages_shared, 10);
	assert_int_equal(counters.pages_sharing, 20);
	assert_int_equal(counters.pages_unshared, 30);
	assert_int_equal(counters.pages_volatile, 40);
	assert_int_equal(counters.ksm_zero_pages, -2);
	assert_int_equal(counters.pages_scanned, 60);
	assert_int_equal(ksm_full_scans_read(&fake.root, &scans), 0);
	assert_int_equal(scans, 3);
	fake_root_done(&fake);
}

static void test_nodes_are_kept_apart_where_there_are_several(void **state)
{
	struct fake_root fake;

	(void)state;
	fake_root_init(&fake);
	assert_false(ksm_keeps_nodes_apart(&fake.root)); /* no KSM */
	write_full_ksm(&fake);
	fake_root_write(&fake, KSM "merge_across_nodes", "0\n");
	assert_false(ksm_keeps_nodes_apart(&fake.root)); /* no NUMA */
	fake_root_write(&fake, NODES "node0/numastat", "");
	assert_false(ksm_keeps_nodes_apart(&fake.root));
	fake_root_write(&fake, NODES "node1/numastat", "");
	assert_true(ksm_keeps_nodes_apart(&fake.root));
	fake_root_write(&fake, KSM "merge_across_nodes", "1\n");
	assert_false(ksm_keeps_nodes_apart(&fake.root));
	fake_root_done(&fake);
}

static void test_run_is_written_alone(void **state)
{
	struct fake_root fake;

	(void)state;
	fake_root_init(&fake);
	write_full_ksm(&fake);
	assert_int_equal(ksm_run_write(&fake.root, 1), 0);
	fake_root_assert_text(&fake, KSM "run", "1");
	fake_root_done(&fake);
}

static const struct host_root *lock_root;

/* In the child; the answer lies in memory both can see. */
static void try_lock(void *argument, char step)
{
	int *const answer = argument;
	int fd;

	(void)step;
	*answer = ksm_driver_lock(lock_root, &fd);
	if (*answer == 0)
		(void)close(fd);
}

static void assert_lock_excludes(const struct host_root *root)
{
	int *const answer =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct child child;
	int fd, second;

	assert_true(answer != MAP_FAILED);
	lock_root = root;
	assert_int_equal(ksm_driver_lock(root, &fd), 0);
	assert_int_equal(ksm_driver_lock(root, &second), -EWOULDBLOCK);
	child_start(&child, try_lock, answer);
	assert_int_equal(*answer, -EWOULDBLOCK);
	/* The child inherited the descriptor: the lock is gone when both have closed it. */
	assert_int_equal(flock(fd, LOCK_UN), 0);
	(void)close(fd);
	child_step(&child, 1);
	assert_int_equal(*answer, 0);
	child_stop(&child);
	(void)munmap(answer, 4096);
}

static void test_driver_lock_excludes_another_process(void **state)
{
	struct fake_root fake;

	(void)state;
	fake_root_init(&fake);
	write_full_ksm(&fake);
	assert_lock_excludes(&fake.root);
	fake_root_done(&fake);
}

static void test_driver_lock_works_on_the_real_sysfs(void **state)
{
	struct host_root root;
	int fd, r;

	(void)state;
	assert_int_equal(host_root_open("", &root), 0);
	r = ksm_driver_lock(&root, &fd);
	if (r == -ENOENT || r == -EWOULDBLOCK) {
		host_root_done(&root);
		print_message("SKIP: %s\n",
			r == -ENOENT ? "no KSM in this kernel" : "another process drives ksmd");
		skip();
	}
	assert_int_equal(r, 0);
	(void)close(fd);
	assert_lock_excludes(&root);
	host_root_done(&root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_knobs_are_read),
		cmocka_unit_test(test_knobs_of_an_old_kernel_are_absent),
		cmocka_unit_test(test_no_ksm_is_no_entry),
		cmocka_unit_test(test_hostile_knobs_are_refused),
		cmocka_unit_test(test_knobs_written_are_read_back),
		cmocka_unit_test(test_ksmd_is_stopped_first_and_started_last),
		cmocka_unit_test(test_advisor_owns_pages_to_scan),
		cmocka_unit_test(test_each_knob_makes_a_difference),
		cmocka_unit_test(test_first_error_is_returned_and_the_rest_is_written),
		cmocka_unit_test(test_counters_are_read),
		cmocka_unit_test(test_nodes_are_kept_apart_where_there_are_several),
		cmocka_unit_test(test_run_is_written_alone),
		cmocka_unit_test(test_driver_lock_excludes_another_process),
		cmocka_unit_test(test_driver_lock_works_on_the_real_sysfs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
