// SPDX-License-Identifier: GPL-2.0-or-later
/* ksmd and the processes it works on, as ksm.h sees them in /proc. */
#include "hypervisor-glue/ksm.h"

#include <errno.h>
#include <sys/mman.h>

#include "tests/unit/child.h"
#include "tests/unit/fake_root.h"

#define STAT_REST " 0 0 0 -1 2097216 0 0 0 0 0 0 0 0 25 5 1 0 23 0 0"

static void test_ksmd_is_told_from_a_process_that_calls_itself_so(void **state)
{
	struct fake_root fake;
	uint64_t ns = 0;
	pid_t pid = 0;

	(void)state;
	fake_root_init(&fake);
	fake_root_write(&fake, "/proc/30/stat", "30 (ksmd) S 1" STAT_REST);
	fake_root_write(&fake, "/proc/30/schedstat", "1 1 1\n");
	assert_int_equal(ksmd_cpu_ns_read(&fake.root, &pid, &ns), -ESRCH);
	fake_root_write(&fake, "/proc/36/stat", "36 (ksmd) S 2" STAT_REST);
	fake_root_write(&fake, "/proc/36/schedstat", "123456789012 5 7\n");
	assert_int_equal(ksmd_cpu_ns_read(&fake.root, &pid, &ns), 0);
	assert_int_equal(pid, 36);
	assert_int_equal(ns, 123456789012);
	pid = 30; /* a stale or wrong cache is noticed */
	assert_int_equal(ksmd_cpu_ns_read(&fake.root, &pid, &ns), 0);
	assert_int_equal(pid, 36);
	fake_root_write(&fake, "/proc/36/schedstat", "-\n");
	assert_int_equal(ksmd_cpu_ns_read(&fake.root, &pid, &ns), -EINVAL);
	fake_root_done(&fake);
}

static void test_ksmd_of_this_host_has_a_clock(void **state)
{
	struct host_root root;
	uint64_t ns;
	pid_t pid = 0;
	int r;

	(void)state;
	assert_int_equal(host_root_open("", &root), 0);
	r = ksmd_cpu_ns_read(&root, &pid, &ns);
	host_root_done(&root);
	if (r == -ESRCH) {
		print_message("SKIP: no ksmd on this host, or it is out of sight\n");
		skip();
	}
	assert_int_equal(r, 0);
	assert_true(pid > 2);
}

static void test_process_stat_of_each_kernel_is_understood(void **state)
{
	static const struct {
		const char *text;
		struct process_ksm ksm;
	} cases[] = {
		{ "ksm_rmap_items 5\nksm_zero_pages 6\nksm_merging_pages 7\n"
		  "ksm_process_profit -9\nksm_merge_any: no\nksm_mergeable: yes\n",
			{ 5, 6, 7, TRISTATE_YES, TRISTATE_NO } },
		{ "ksm_rmap_items 5\nzero_pages 6\nksm_merging_pages 7\nksm_process_profit 1\n",
			{ 5, 6, 7, TRISTATE_UNKNOWN, TRISTATE_UNKNOWN } },
		{ "ksm_rmap_items 5\n", { 5, KSM_KNOB_ABSENT, KSM_KNOB_ABSENT, TRISTATE_UNKNOWN,
						TRISTATE_UNKNOWN } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct process_ksm ksm;

		process_ksm_parse(cases[i].text, &ksm);
		assert_int_equal(ksm.rmap_items, cases[i].ksm.rmap_items);
		assert_int_equal(ksm.zero_pages, cases[i].ksm.zero_pages);
		assert_int_equal(ksm.merging_pages, cases[i].ksm.merging_pages);
		assert_int_equal(ksm.mergeable, cases[i].ksm.mergeable);
		assert_int_equal(ksm.merge_any, cases[i].ksm.merge_any);
	}
}

static void test_process_stat_hostile_lines_say_nothing(void **state)
{
	static const char *const cases[] = { "", "\n\n", "ksm_rmap_items", "ksm_rmap_items -1",
		"ksm_rmap_items 1 2", "ksm_rmap_items 99999999999999999999", "ksm_rmap_items x",
		"ksm_rmap_items 9223372036854775808", "xksm_rmap_items 1", "ksm_merge_any: maybe",
		"ksm_merge_any: 1", "ksm_mergeable yes",
		"ksm_rmap_items 12345678901234567890123456789012345" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct process_ksm ksm;

		process_ksm_parse(cases[i], &ksm);
		assert_int_equal(ksm.rmap_items, KSM_KNOB_ABSENT);
		assert_int_equal(ksm.mergeable, TRISTATE_UNKNOWN);
		assert_int_equal(ksm.merge_any, TRISTATE_UNKNOWN);
	}
}

static void mark_mergeable(void *argument, char step)
{
	(void)step;
	(void)madvise(argument, 1 << 20, MADV_MERGEABLE);
}

static void test_process_stat_of_a_real_process_sees_its_marks(void **state)
{
	void *const memory =
		mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct process_ksm ksm;
	struct host_root root;
	struct child child;
	int r;

	(void)state;
	assert_true(memory != MAP_FAILED);
	assert_int_equal(host_root_open("", &root), 0);
	child_start(&child, mark_mergeable, memory);
	r = process_ksm_read(&root, child.pid, &ksm);
	if (r == 0 && ksm.mergeable != TRISTATE_UNKNOWN) {
		assert_int_equal(ksm.mergeable, TRISTATE_YES);
		assert_int_equal(ksm.merge_any, TRISTATE_NO);
	}
	child_stop(&child);
	assert_int_equal(process_ksm_read(&root, child.pid, &ksm), -ESRCH);
	(void)munmap(memory, 1 << 20);
	host_root_done(&root);
	if (r == -ENOENT) {
		print_message("SKIP: no /proc/PID/ksm_stat in this kernel\n");
		skip();
	}
	assert_int_equal(r, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ksmd_is_told_from_a_process_that_calls_itself_so),
		cmocka_unit_test(test_ksmd_of_this_host_has_a_clock),
		cmocka_unit_test(test_process_stat_of_each_kernel_is_understood),
		cmocka_unit_test(test_process_stat_hostile_lines_say_nothing),
		cmocka_unit_test(test_process_stat_of_a_real_process_sees_its_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
