// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/policy.h"

static const struct policy_subject vm = {
	.is_vm = true,
	.pid = 4711,
	.name = "web1",
	.uuid = "6f1c7f5e-0000-4000-8000-00000000000a",
	.exe = "/usr/bin/qemu-system-x86_64",
	.cgroups = "0::/machine.slice/machine-qemu\\x2d1\\x2dweb1.scope/libvirt/emulator\n",
};

static const struct policy_subject java = {
	.pid = 4712,
	.exe = "/usr/lib/jvm/17/bin/java (deleted)",
	.cgroups = "12:memory:/system.slice/ci-7.service\n11:cpu,cpuacct:/other\n0::/\n",
};

static bool matches(
	enum policy_match_kind kind, const char *pattern, const struct policy_subject *subject)
{
	struct policy_rule rule = {
		.kind = kind,
		.pattern = (char *)(uintptr_t)pattern,
		.pid = kind == MATCH_PID ? atoi(pattern) : 0,
	};
	const struct policy_set set = { .rules = &rule, .count = 1 };

	return policy_set_find(&set, subject) == &rule;
}

static void test_patterns_match_what_they_name(void **state)
{
	static const struct {
		enum policy_match_kind kind;
		const char *pattern;
		bool matches_vm, matches_java;
	} cases[] = {
		{ MATCH_VM, "web1", true, false },
		{ MATCH_VM, "web*", true, false },
		{ MATCH_VM, "*", true, false },
		{ MATCH_VM, "web", false, false },
		{ MATCH_VM, "WEB1", false, false },
		{ MATCH_VM, "web[0-9]", true, false },
		{ MATCH_VM, "6f1c7f5e-0000-4000-8000-00000000000a", true, false },
		{ MATCH_VM, "6F1C7F5E-0000-4000-8000-00000000000A", true, false },
		{ MATCH_EXE, "/usr/bin/qemu-system-*", true, false },
		{ MATCH_EXE, "/usr/*", false, false }, /* a star stays within a directory */
		{ MATCH_EXE, "/usr/lib/jvm/*/bin/java", false, true },
		{ MATCH_EXE, "/usr/lib/jvm/17/bin/java", false, true },
		{ MATCH_EXE, "/usr/lib/jvm/17/bin/java (deleted)", false, true },
		{ MATCH_CGROUP, "/system.slice/ci-*.service", false, true },
		{ MATCH_CGROUP, "/other", false, true },
		{ MATCH_CGROUP, "/system.slice", false, true }, /* children are in it */
		{ MATCH_CGROUP, "/system.slic", false, false },
		{ MATCH_CGROUP, "/machine.slice/machine-qemu\\x2d1\\x2dweb1.scope", true, false },
		{ MATCH_CGROUP, "/machine.slice/*", true, false },
		{ MATCH_CGROUP, "*", true, true },
		{ MATCH_PID, "4711", true, false },
		{ MATCH_PID, "4712", false, true },
		{ MATCH_PID, "47", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (matches(cases[i].kind, cases[i].pattern, &vm) != cases[i].matches_vm ||
			matches(cases[i].kind, cases[i].pattern, &java) != cases[i].matches_java)
			fail_msg("case %zu: %s", i, cases[i].pattern);
}

static void test_a_subject_of_which_nothing_is_known_matches_by_pid_only(void **state)
{
	static const struct policy_subject bare = { .is_vm = true, .pid = 7 };
	static const struct policy_subject empty = {
		.is_vm = true, .pid = 7, .name = "", .uuid = "", .exe = "", .cgroups = ""
	};
	static const struct policy_subject odd = {
		.pid = 7, .exe = " (deleted)", .cgroups = "\n:\n::\nx\n0:"
	};

	(void)state;
	assert_true(matches(MATCH_PID, "7", &bare));
	for (int kind = MATCH_VM; kind <= MATCH_CGROUP; kind++) {
		assert_false(matches((enum policy_match_kind)kind, "*", &bare));
		assert_false(matches((enum policy_match_kind)kind, "*", &empty));
	}
	assert_false(matches(MATCH_EXE, "", &odd));
	assert_false(matches(MATCH_CGROUP, "/x", &odd));
}

static void test_the_first_rule_that_matches_wins(void **state)
{
	char web[] = "web*", all[] = "*";
	struct policy_rule rules[] = {
		{ .kind = MATCH_PID, .pid = 1, .pattern = web },
		{ .kind = MATCH_VM, .pattern = web },
		{ .kind = MATCH_VM, .pattern = all },
	};
	const struct policy_set set = { .rules = rules, .count = ARRAY_SIZE(rules) };
	const struct policy_set none = { 0 };

	(void)state;
	assert_ptr_equal(policy_set_find(&set, &vm), &rules[1]);
	assert_null(policy_set_find(&set, &java));
	assert_null(policy_set_find(&none, &vm));
}

static void test_processes_are_wanted_only_where_a_rule_could_match_one(void **state)
{
	struct policy_rule rules[] = { { .kind = MATCH_VM }, { .kind = MATCH_EXE } };

	(void)state;
	assert_false(policy_set_wants_processes(&(struct policy_set){ rules, 0 }));
	assert_false(policy_set_wants_processes(&(struct policy_set){ rules, 1 }));
	assert_true(policy_set_wants_processes(&(struct policy_set){ rules, 2 }));
	assert_false(policy_set_wants_cgroups(&(struct policy_set){ rules, 2 }));
	rules[1].kind = MATCH_CGROUP;
	assert_true(policy_set_wants_cgroups(&(struct policy_set){ rules, 2 }));
	assert_false(policy_set_wants_cgroups(&(struct policy_set){ rules, 1 }));
}

static void test_keys_take_their_values(void **state)
{
	struct policy policy;
	char reason[256];

	(void)state;
	policy_init(&policy, MODE_OFF);
	assert_int_equal(policy.mode, MODE_OFF);
	assert_string_equal(policy.group, "default");
	assert_int_equal(policy.hook, HOOK_AUTO);
	assert_int_equal(policy.hugepages, HUGEPAGES_BALANCE);
	assert_int_equal(policy_set_key(&policy, "mode", "merge", reason), 0);
	assert_int_equal(policy_set_key(&policy, "group", "Web-1.a_b", reason), 0);
	assert_int_equal(policy_set_key(&policy, "hook", "none", reason), 0);
	assert_int_equal(policy_set_key(&policy, "hugepages", "fold", reason), 0);
	assert_string_equal(policy_mode_name(policy.mode), "merge");
	assert_string_equal(policy.group, "Web-1.a_b");
	assert_string_equal(policy_hook_name(policy.hook), "none");
	assert_string_equal(policy_hugepages_name(policy.hugepages), "fold");
}

static void test_wrong_keys_and_values_are_refused_with_a_reason(void **state)
{
	static const struct {
		const char *key, *value, *reason;
		int error;
	} cases[] = {
		{ "mode", "on", "merge, observe, off", -EINVAL },
		{ "mode", "", "merge, observe, off", -EINVAL },
		{ "mode", "merge ", "merge, observe, off", -EINVAL },
		{ "hook", "RING", "auto, ring, qmp, none", -EINVAL },
		{ "hugepages", "yes", "keep, balance, fold", -EINVAL },
		{ "group", "", "letters", -EINVAL },
		{ "group", "auto", "not the word auto", -EINVAL },
		{ "group", "a b", "letters", -EINVAL },
		{ "group", "\xc3\xa4", "letters", -EINVAL },
		{ "group", "a\n", "letters", -EINVAL },
		{ "group", "0123456789012345678901234567890123456789012345678901234567890123",
			"1 to 63", -EINVAL },
		{ "match", "vm:x", "mode, group, hook and hugepages", -EINVAL },
		{ "", "", "mode, group, hook and hugepages", -EINVAL },
	};
	struct policy policy, before;

	(void)state;
	policy_init(&policy, MODE_OBSERVE);
	before = policy;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char reason[256] = "";

		assert_int_equal(policy_set_key(&policy, cases[i].key, cases[i].value, reason),
			cases[i].error);
		if (!strstr(reason, cases[i].reason))
			fail_msg("case %zu: %s", i, reason);
		assert_memory_equal(&policy, &before, sizeof(policy));
	}
}

static void test_a_long_value_is_shortened_in_the_reason(void **state)
{
	struct policy policy;
	char reason[256], value[2000];

	(void)state;
	policy_init(&policy, MODE_OBSERVE);
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	assert_int_equal(policy_set_key(&policy, "mode", value, reason), -EINVAL);
	assert_int_equal(policy_set_key(&policy, "group", value, reason), -EINVAL);
	assert_int_equal(policy_set_key(&policy, value, value, reason), -EINVAL);
	assert_true(strlen(reason) < 256);
}

#define BOOT "6f1c7f5e-0000-4000-8000-00000000000b"

static void test_targets_are_named_by_what_lasts_longest(void **state)
{
	static const struct {
		struct policy_subject subject;
		const char *section, *match;
	} cases[] = {
		{ { .is_vm = true,
			  .pid = 1,
			  .name = "web1",
			  .uuid = "6f1c7f5e-0000-4000-8000-00000000000a" },
			"web1-6f1c7f5e", "vm:6f1c7f5e-0000-4000-8000-00000000000a" },
		{ { .is_vm = true, .pid = 1, .name = "web1" }, "web1", "vm:web1" },
		{ { .is_vm = true, .pid = 1, .name = "web1", .uuid = "" }, "web1", "vm:web1" },
		{ { .is_vm = true, .pid = 1, .name = "web1", .uuid = "x\n[y]" }, "web1",
			"vm:web1" },
		{ { .is_vm = true, .pid = 1, .name = "a*[b]?" }, NULL, "vm:a[*][[]b][?]" },
		{ { .is_vm = true, .pid = 7 }, "pid-7", "pid:7" },
		{ { .is_vm = true, .pid = 7, .name = "a\nmode = merge" }, "pid-7", "pid:7" },
		{ { .is_vm = true, .pid = 7, .name = "a # b" }, "pid-7", "pid:7" },
		{ { .is_vm = true, .pid = 7, .name = "trailing " }, "pid-7", "pid:7" },
		{ { .pid = 7, .name = "java", .exe = "/usr/bin/java" }, "pid-7", "pid:7" },
		{ { .pid = 7, .started_ticks = 12345, .boot_id = BOOT }, "pid-7", "pid:7@12345/" BOOT },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy_target target;

		policy_target_of(&cases[i].subject, &target);
		assert_string_equal(target.match, cases[i].match);
		if (cases[i].section)
			assert_string_equal(target.section, cases[i].section);
		assert_true(strlen(target.section) < sizeof(target.section));
	}
}

static void test_a_quoted_name_matches_itself_and_nothing_else(void **state)
{
	static const char name[] = "a*[b]?\\x";
	struct policy_target target;

	(void)state;
	policy_target_of(&(struct policy_subject){ .is_vm = true, .name = name }, &target);
	assert_true(matches(MATCH_VM, target.match + strlen("vm:"),
		&(struct policy_subject){ .is_vm = true, .name = name }));
	assert_false(matches(MATCH_VM, target.match + strlen("vm:"),
		&(struct policy_subject){ .is_vm = true, .name = "aXX[b]X\\x" }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patterns_match_what_they_name),
		cmocka_unit_test(test_a_subject_of_which_nothing_is_known_matches_by_pid_only),
		cmocka_unit_test(test_the_first_rule_that_matches_wins),
		cmocka_unit_test(test_processes_are_wanted_only_where_a_rule_could_match_one),
		cmocka_unit_test(test_keys_take_their_values),
		cmocka_unit_test(test_wrong_keys_and_values_are_refused_with_a_reason),
		cmocka_unit_test(test_a_long_value_is_shortened_in_the_reason),
		cmocka_unit_test(test_targets_are_named_by_what_lasts_longest),
		cmocka_unit_test(test_a_quoted_name_matches_itself_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
