// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "daemon/policy.h"
#include "tests/unit/temp_dir.h"

static const struct policy merge_web = {
	.mode = MODE_MERGE,
	.group = "web",
	.hook = HOOK_RING,
	.hugepages = HUGEPAGES_KEEP,
};

#define BOOT "6f1c7f5e-0000-4000-8000-00000000000b"

static void test_files_become_rules_in_order(void **state)
{
	const struct temp_dir dir = temp_dir_make();
	struct policy_set set;
	char *error = NULL;

	(void)state;
	temp_dir_write(&dir, "20.conf", "[target jvms]\nmatch = exe:/usr/bin/java\nmode = off\n");
	temp_dir_write(&dir, "10.conf",
		"[target web]\nmatch = vm:web*   # glob\nmode = merge\ngroup = web\nhook = ring\n"
		"hugepages = keep\n\n[target rest]\nmatch = pid:4711\n");
	assert_int_equal(policy_set_load(dir.path, &set, &error), 0);
	assert_int_equal(set.count, 3);
	assert_string_equal(set.rules[0].section, "web");
	assert_string_equal(set.rules[0].pattern, "web*");
	assert_string_equal(set.rules[0].file, temp_dir_path(&dir, "10.conf"));
	assert_int_equal(set.rules[0].line, 1);
	assert_true(set.rules[0].mode_given);
	assert_memory_equal(&set.rules[0].policy, &merge_web, sizeof(merge_web));
	assert_int_equal(set.rules[1].line, 8);
	assert_int_equal(set.rules[1].kind, MATCH_PID);
	assert_int_equal(set.rules[1].pid, 4711);
	assert_false(set.rules[1].mode_given);
	assert_int_equal(set.rules[2].kind, MATCH_EXE);
	assert_int_equal(set.rules[2].policy.mode, MODE_OFF);
	policy_set_done(&set);
	temp_dir_remove(&dir);
}

static void test_a_missing_directory_is_an_empty_set(void **state)
{
	struct policy_set set = { .count = 7 };
	char *error = NULL;

	(void)state;
	assert_int_equal(policy_set_load("/nonexistent/policy.d", &set, &error), 0);
	assert_int_equal(set.count, 0);
	policy_set_done(&set);
}

static void test_wrong_files_are_refused_with_their_line(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "mode = merge\n", ":1: a key before" },
		{ "[pagefold]\nmode = merge\n", ":1: the section is [pagefold]" },
		{ "[target]\nmatch = vm:x\n", ":1: the section is [target]" },
		{ "[target ]\nmatch = vm:x\n", ":1: the section is [target ]" },
		{ "[target a]\nmode = merge\n", ":1: the section has no match" },
		{ "\n[target a]\n[target b]\nmatch = vm:x\n", ":2: the section has no match" },
		{ "[target a]\nmatch = web1\n", ":2: match is \"web1\"" },
		{ "[target a]\nmatch = vm:\n", ":2: match is \"vm:\"" },
		{ "[target a]\nmatch = VM:x\n", ":2: match is \"VM:x\"" },
		{ "[target a]\nmatch =\n", ":2: match is \"\"" },
		{ "[target a]\nmatch = pid:0\n", ":2: \"0\" is no process id" },
		{ "[target a]\nmatch = pid:-1\n", ":2: \"-1\" is no process id" },
		{ "[target a]\nmatch = pid:4294967296\n", ":2: \"4294967296\" is no process id" },
		{ "[target a]\nmatch = pid:1 2\n", ":2: \"1 2\" is no process id" },
		{ "[target a]\nmatch = pid:0@1/" BOOT "\n", ":2: \"0\" is no process id" },
		{ "[target a]\nmatch = pid:7@\n", ":2: \"\" is no start of a process" },
		{ "[target a]\nmatch = pid:7@1\n", ":2: \"1\" is no start of a process" },
		{ "[target a]\nmatch = pid:7@-1/" BOOT "\n", "is no start of a process" },
		{ "[target a]\nmatch = pid:7@1/x" BOOT "\n", "is no start of a process" },
		{ "[target a]\nmatch = exe:java\n", ":2: match is \"exe:java\", but the path" },
		{ "[target a]\nmatch = cgroup:x\n", ":2: match is \"cgroup:x\", but the path" },
		{ "[target a]\nmatch = vm:x\nmatch = vm:y\n",
			":3: the key \"match\" is there twice" },
		{ "[target a]\nmatch = vm:x\nmode = no\n", ":3: mode is \"no\"" },
		{ "[target a]\nmatch = vm:x\npriority = 1\n", ":3: a policy has no key" },
	};
	const struct temp_dir dir = temp_dir_make();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_set set = { .count = 4711 };
		_cleanup_free_ char *error = NULL;

		temp_dir_write(&dir, "a.conf", cases[i].text);
		assert_int_equal(policy_set_load(dir.path, &set, &error), -EINVAL);
		if (!strstr(error, cases[i].error))
			fail_msg("case %zu: %s", i, error);
		assert_int_equal(set.count, 4711);
	}
	temp_dir_remove(&dir);
}

static void set_policy(const struct temp_dir *dir, const char *section, const char *match,
	const struct policy *policy)
{
	_cleanup_free_ char *error = NULL;

	if (policy_file_set(dir->path, section, match, policy, &error) != 0)
		fail_msg("%s", error);
}

static void assert_file(const struct temp_dir *dir, const char *expected)
{
	_cleanup_free_ char *text = temp_dir_read(dir, "00-set.conf");

	assert_string_equal(text, expected);
}

#define HEADER "# Kept by `pagefold set`; may be edited by hand. See pagefold.conf(5).\n"
#define KEYS   "mode = merge\ngroup = web\nhook = ring\nhugepages = keep\n"

static void test_the_first_rule_makes_directory_and_file(void **state)
{
	const struct temp_dir dir = temp_dir_make();
	struct policy_set set;
	struct stat status;
	char *error = NULL;
	struct temp_dir below = { "" };

	(void)state;
	strcat(strcat(below.path, dir.path), "/policy.d");
	set_policy(&below, "web1", "vm:web1", &merge_web);
	assert_file(&below, HEADER "\n[target web1]\nmatch = vm:web1\n" KEYS);
	assert_int_equal(stat(temp_dir_path(&below, "00-set.conf"), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0644);
	assert_int_equal(policy_set_load(below.path, &set, &error), 0);
	assert_int_equal(set.count, 1);
	assert_memory_equal(&set.rules[0].policy, &merge_web, sizeof(merge_web));
	policy_set_done(&set);
	temp_dir_remove(&dir);
}

static void test_a_rule_is_replaced_where_it_stands(void **state)
{
	const struct temp_dir dir = temp_dir_make();

	(void)state;
	temp_dir_write(&dir, "00-set.conf",
		"# mine\n[target a]\nmatch = vm:a\n\n# about b\n[target b]\nmatch = vm:b\n"
		"# why\nmode = off\n\n# about c\n[target c]\nmatch = vm:c");
	set_policy(&dir, "b", "vm:b", &merge_web);
	assert_file(&dir,
		"# mine\n[target a]\nmatch = vm:a\n\n# about b\n[target b]\nmatch = vm:b\n" KEYS
		"# why\n\n# about c\n[target c]\nmatch = vm:c\n");
	set_policy(&dir, "b", "vm:b", &merge_web);
	assert_file(&dir,
		"# mine\n[target a]\nmatch = vm:a\n\n# about b\n[target b]\nmatch = vm:b\n" KEYS
		"# why\n\n# about c\n[target c]\nmatch = vm:c\n");
	temp_dir_remove(&dir);
}

static void test_another_section_with_the_same_match_goes(void **state)
{
	const struct temp_dir dir = temp_dir_make();

	(void)state;
	temp_dir_write(&dir, "00-set.conf",
		"[target old]\nmatch = vm:a\nmode = off\n[target b]\nmatch = vm:b\n"
		"[target older]\nmatch = vm:a\n");
	set_policy(&dir, "a", "vm:a", &merge_web);
	assert_file(&dir, "[target a]\nmatch = vm:a\n" KEYS "[target b]\nmatch = vm:b\n");
	temp_dir_remove(&dir);
}

static void test_a_pid_is_of_one_process_at_a_time(void **state)
{
	const struct temp_dir dir = temp_dir_make();
	struct policy_set set;
	char *error = NULL;

	(void)state;
	temp_dir_write(&dir, "00-set.conf",
		"[target mine]\nmatch = pid:7\n[target pid-71]\nmatch = pid:71@4/" BOOT "\n"
		"[target old]\nmatch = pid:7@4/" BOOT "\n");
	set_policy(&dir, "pid-7", "pid:7@12345/" BOOT, &merge_web);
	assert_file(&dir, "[target pid-7]\nmatch = pid:7@12345/" BOOT "\n" KEYS
			  "[target pid-71]\nmatch = pid:71@4/" BOOT "\n");
	assert_int_equal(policy_set_load(dir.path, &set, &error), 0);
	assert_int_equal(set.rules[0].pid, 7);
	assert_int_equal(set.rules[0].started_ticks, 12345);
	assert_string_equal(set.rules[0].boot_id, BOOT);
	policy_set_done(&set);
	temp_dir_remove(&dir);
}

static void test_a_rule_is_removed(void **state)
{
	const struct temp_dir dir = temp_dir_make();

	(void)state;
	temp_dir_write(&dir, "00-set.conf",
		"[target a]\nmatch = vm:a\n[target b]\nmatch = vm:b\nmode = off\n");
	set_policy(&dir, "b", "vm:b", NULL);
	assert_file(&dir, "[target a]\nmatch = vm:a\n");
	set_policy(&dir, "b", "vm:b", NULL);
	assert_file(&dir, "[target a]\nmatch = vm:a\n");
	temp_dir_remove(&dir);
}

static void test_a_broken_file_is_left_alone(void **state)
{
	const struct temp_dir dir = temp_dir_make();
	_cleanup_free_ char *error = NULL;

	(void)state;
	temp_dir_write(&dir, "00-set.conf", "[target a]\nmatch = vm:a\nmode = perhaps\n");
	assert_int_equal(policy_file_set(dir.path, "b", "vm:b", &merge_web, &error), -EINVAL);
	assert_non_null(strstr(error, "00-set.conf:3: mode is \"perhaps\""));
	assert_file(&dir, "[target a]\nmatch = vm:a\nmode = perhaps\n");
	temp_dir_remove(&dir);
}

/* Names come from command lines of VMs: none may end a line, open a section or start a comment. */
static void test_names_cannot_smuggle_anything_in(void **state)
{
	static const struct {
		const char *section, *match;
	} cases[] = {
		{ "a]\nmatch = vm:*\n[target b", "vm:a" },
		{ "a", "vm:a\nmode = merge" },
		{ "a", "vm:a\n[target b]\nmatch = vm:*" },
		{ "a", "vm:a # b" },
		{ "a", "vm:a ;b" },
		{ "a", "vm:a " },
		{ "a", "vm:" },
		{ "a", "a" },
		{ "a ", "vm:" },
		{ "", "vm:a" },
		{ "a#", "vm:\x1b[31m" },
		{ "a]", "vm:a" },
		{ "a # b", "vm:a" },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "vm:a" },
	};
	const struct temp_dir dir = temp_dir_make();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *error = NULL;

		if (policy_file_set(dir.path, cases[i].section, cases[i].match, &merge_web,
			    &error) != -EINVAL)
			fail_msg("case %zu", i);
		assert_non_null(error);
		assert_int_equal(access(temp_dir_path(&dir, "00-set.conf"), F_OK), -1);
	}
	temp_dir_remove(&dir);
}

static void test_a_left_over_of_a_crash_is_no_obstacle(void **state)
{
	const struct temp_dir dir = temp_dir_make();

	(void)state;
	temp_dir_write(&dir, ".00-set.conf.new", "half a li");
	set_policy(&dir, "a", "vm:a", &merge_web);
	assert_file(&dir, HEADER "\n[target a]\nmatch = vm:a\n" KEYS);
	assert_int_equal(access(temp_dir_path(&dir, ".00-set.conf.new"), F_OK), -1);
	temp_dir_remove(&dir);
}

static void test_a_directory_that_cannot_be_made_is_an_error(void **state)
{
	_cleanup_free_ char *error = NULL;

	(void)state;
	assert_int_equal(
		policy_file_set("/nonexistent/policy.d", "a", "vm:a", &merge_web, &error), -ENOENT);
	assert_non_null(strstr(error, "/nonexistent/policy.d"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files_become_rules_in_order),
		cmocka_unit_test(test_a_missing_directory_is_an_empty_set),
		cmocka_unit_test(test_wrong_files_are_refused_with_their_line),
		cmocka_unit_test(test_the_first_rule_makes_directory_and_file),
		cmocka_unit_test(test_a_rule_is_replaced_where_it_stands),
		cmocka_unit_test(test_another_section_with_the_same_match_goes),
		cmocka_unit_test(test_a_pid_is_of_one_process_at_a_time),
		cmocka_unit_test(test_a_rule_is_removed),
		cmocka_unit_test(test_a_broken_file_is_left_alone),
		cmocka_unit_test(test_names_cannot_smuggle_anything_in),
		cmocka_unit_test(test_a_left_over_of_a_crash_is_no_obstacle),
		cmocka_unit_test(test_a_directory_that_cannot_be_made_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
