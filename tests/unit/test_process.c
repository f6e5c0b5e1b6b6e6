// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/process.h"

#include <errno.h>
#include <limits.h>

#include "tests/unit/child.h"
#include "tests/unit/fake_root.h"

/* Fields 4 to 22 of a real line, then some of what follows. */
#define REST "1 42 42 0 -1 4194304 1 0 0 0 7 8 0 0 20 0 1 0 123456 9999 0"

static void test_stat_of_a_plain_process_is_read(void **state)
{
	struct process_stat stat;

	(void)state;
	assert_int_equal(process_stat_parse("42 (cat) S " REST "\n", &stat), 0);
	assert_string_equal(stat.comm, "cat");
	assert_int_equal(stat.state, 'S');
	assert_int_equal(stat.parent, 1);
	assert_int_equal(stat.start_ticks, 123456);
}

static void test_stat_comm_may_hold_anything(void **state)
{
	static const struct {
		const char *text, *comm;
	} cases[] = {
		{ "42 (a b) S " REST, "a b" },
		{ "42 (a) S 1 2 (b) R " REST, "a) S 1 2 (b" },
		{ "42 (\n) S " REST, "?" },
		{ "42 (\xff\x01x) S " REST, "??x" },
		{ "42 () S " REST, "" },
		{ "42 (()) S " REST, "()" },
		{ "42 (123456789012345678901234567890123456789012345678901234567890123456789) "
		  "S " REST,
			"123456789012345678901234567890123456789012345678901234567890123" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct process_stat stat;

		assert_int_equal(process_stat_parse(cases[i].text, &stat), 0);
		assert_string_equal(stat.comm, cases[i].comm);
		assert_int_equal(stat.start_ticks, 123456);
	}
}

static void test_stat_hostile_text_is_refused(void **state)
{
	static const char *const cases[] = {
		"",
		"42",
		"42 (cat",
		"42 cat) S " REST,
		"42 )cat( S " REST,
		"42 (cat)",
		"42 (cat) ",
		"42 (cat) S",
		"42 (cat) S 1 2 3",
		"42 (cat) 7 " REST,
		"42 (cat)S " REST,
		"42 (cat) S -1 42 42 0 -1 0 1 0 0 0 7 8 0 0 20 0 1 0 123456",
		"42 (cat) S 99999999999 42 42 0 -1 0 1 0 0 0 7 8 0 0 20 0 1 0 123456",
		"42 (cat) S 1 42 42 0 -1 0 1 0 0 0 7 8 0 0 20 0 1 0 99999999999999999999",
		"42 (cat) S 1 42 42 0 -1 0 1 0 0 0 7 8 0 0 20 0 1 0 999999999999999999999999999",
		"42 (cat) S 1 42 42 0 -1 0 1 0 0 0 7 8 0 0 20 0 1 0 x",
		"42 (cat) S 1 42 42 0 -1 0 1 0 0 0 7 8 0 0 20 0 1 0\n99",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct process_stat stat = { .parent = 7 };

		assert_int_equal(process_stat_parse(cases[i], &stat), -EINVAL);
		assert_int_equal(stat.parent, 7);
	}
}

static void test_list_holds_the_numbers_of_proc_in_order(void **state)
{
	struct fake_root fake;
	pid_t *pids;
	size_t count;

	(void)state;
	fake_root_init(&fake);
	fake_root_write(&fake, "/proc/100/stat", "");
	fake_root_write(&fake, "/proc/9/stat", "");
	fake_root_write(&fake, "/proc/0/stat", "");
	fake_root_write(&fake, "/proc/self/stat", "");
	fake_root_write(&fake, "/proc/12x/stat", "");
	fake_root_write(&fake, "/proc/99999999999/stat", "");
	assert_int_equal(process_list(&fake.root, &pids, &count), 0);
	assert_int_equal(count, 2);
	assert_int_equal(pids[0], 9);
	assert_int_equal(pids[1], 100);
	free(pids);
	fake_root_done(&fake);
}

static void test_exe_loses_its_deleted_mark(void **state)
{
	struct fake_root fake;
	char *path;

	(void)state;
	fake_root_init(&fake);
	fake_root_link(&fake, "/proc/7/exe", "/usr/bin/qemu-system-x86_64 (deleted)");
	fake_root_link(&fake, "/proc/8/exe", "/opt/a (deleted) b");
	fake_root_write(&fake, "/proc/9/stat", ""); /* a kernel thread: no exe */
	assert_int_equal(process_exe_read(&fake.root, 7, &path), 0);
	assert_string_equal(path, "/usr/bin/qemu-system-x86_64");
	free(path);
	assert_int_equal(process_exe_read(&fake.root, 8, &path), 0);
	assert_string_equal(path, "/opt/a (deleted) b");
	free(path);
	assert_int_equal(process_exe_read(&fake.root, 9, &path), -ENOENT);
	assert_int_equal(process_exe_read(&fake.root, 10, &path), -ESRCH);
	fake_root_done(&fake);
}

static void do_nothing(void *argument, char step)
{
	(void)argument;
	(void)step;
}

static void test_open_process_is_alive_until_it_ends(void **state)
{
	struct host_root root;
	struct process process, again;
	struct child child;

	(void)state;
	assert_int_equal(host_root_open("", &root), 0);
	child_start(&child, do_nothing, NULL);
	assert_int_equal(process_open(&root, child.pid, &process), 0);
	assert_true(process_alive(&process));
	assert_int_equal(process_open_id(&root, process.id, &again), 0);
	assert_true(process_id_equal(process.id, again.id));
	process_done(&again);
	child_kill(&child);
	assert_false(process_alive(&process));
	assert_int_equal(process_open(&root, child.pid, &again), -ESRCH); /* a zombie */
	child_stop(&child);
	assert_false(process_alive(&process));
	assert_int_equal(process_open(&root, child.pid, &again), -ESRCH);
	process_done(&process);
	host_root_done(&root);
}

static void test_recycled_pid_is_another_process(void **state)
{
	struct host_root root;
	struct process process;
	struct process_id id;
	struct child child;

	(void)state;
	assert_int_equal(host_root_open("", &root), 0);
	child_start(&child, do_nothing, NULL);
	assert_int_equal(process_open(&root, child.pid, &process), 0);
	id = process.id;
	process_done(&process);
	id.start_ticks++;
	assert_int_equal(process_open_id(&root, id, &process), -ESRCH);
	child_stop(&child);
	host_root_done(&root);
}

static void test_impossible_pids_are_nobody(void **state)
{
	static const pid_t cases[] = { 0, -1, INT_MAX, INT_MIN };
	struct host_root root;

	(void)state;
	assert_int_equal(host_root_open("", &root), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct process process;

		assert_int_equal(process_open(&root, cases[i], &process), -ESRCH);
	}
	host_root_done(&root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stat_of_a_plain_process_is_read),
		cmocka_unit_test(test_stat_comm_may_hold_anything),
		cmocka_unit_test(test_stat_hostile_text_is_refused),
		cmocka_unit_test(test_list_holds_the_numbers_of_proc_in_order),
		cmocka_unit_test(test_exe_loses_its_deleted_mark),
		cmocka_unit_test(test_open_process_is_alive_until_it_ends),
		cmocka_unit_test(test_recycled_pid_is_another_process),
		cmocka_unit_test(test_impossible_pids_are_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
