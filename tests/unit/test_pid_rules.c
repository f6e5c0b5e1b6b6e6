// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/pid_rules.h"

#include <time.h>

#include "daemon/policy_file.h"
#include "tests/unit/fake_root.h"

#define BOOT       "6f1c7f5e-0000-4000-8000-00000000000b"
#define OTHER_BOOT "6f1c7f5e-0000-4000-8000-00000000000c"
#define PID        42
#define TICKS      "777"

static struct fake_root fake;

static int setup(void **state)
{
	(void)state;
	fake_root_init(&fake);
	fake_root_write(&fake, "/proc/sys/kernel/random/boot_id", BOOT "\n");
	fake_root_write(&fake, "/proc/42/stat",
		"42 (java) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 " TICKS " 0 0\n");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_root_done(&fake);
	return 0;
}

/* Whether the process is matched by a rule for it, in a file of that age; and the warnings. */
static bool applies(const char *match, int64_t age_s, struct sentences *warnings)
{
	const struct policy_subject subject = { .pid = PID };
	struct policy_set set;
	char text[256];
	char *error = NULL;
	bool found;

	(void)snprintf(text, sizeof(text), "[target a]\nmatch = %s\n", match);
	assert_int_equal(policy_set_parse(text, strlen(text), "f", &set, &error), 0);
	set.rules[0].written_s = time(NULL) - age_s;
	pid_rules_check(&set, &fake.root, warnings);
	found = policy_set_find(&set, &subject) != NULL;
	policy_set_done(&set);
	return found;
}

static void test_rule_is_for_the_process_whose_start_it_names(void **state)
{
	static const struct {
		const char *match;
		bool applies;
	} cases[] = {
		{ "pid:42@" TICKS "/" BOOT, true },
		{ "pid:42@776/" BOOT, false },
		{ "pid:42@778/" BOOT, false },
		{ "pid:42@" TICKS "/" OTHER_BOOT, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sentences warnings = { 0 };

		/* However old or young the file is. */
		assert_int_equal(applies(cases[i].match, 0, &warnings), cases[i].applies);
		assert_int_equal(applies(cases[i].match, 1 << 30, &warnings), cases[i].applies);
		assert_int_equal(warnings.count, cases[i].applies ? 0 : 2);
		if (warnings.count)
			assert_non_null(
				strstr(warnings.texts[0], "f:1: process 42 is another one by now"));
		sentences_clear(&warnings);
	}
}

static void test_rule_without_a_start_is_for_whoever_was_there_when_it_was_written(void **state)
{
	struct sentences warnings = { 0 };

	(void)state;
	assert_true(applies("pid:42", 0, &warnings));
	assert_int_equal(warnings.count, 0);
	assert_false(applies("pid:42", INT64_C(1) << 40, &warnings));
	assert_int_equal(warnings.count, 1);
	sentences_clear(&warnings);
}

static void test_rule_for_one_that_has_ended_says_so(void **state)
{
	struct sentences warnings = { 0 };

	(void)state;
	fake_root_write(&fake, "/proc/42/stat",
		"42 (java) Z 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 " TICKS " 0 0\n");
	assert_false(applies("pid:42@" TICKS "/" BOOT, 0, &warnings));
	assert_int_equal(warnings.count, 1);
	assert_non_null(strstr(warnings.texts[0], "process 42 has ended"));
	sentences_clear(&warnings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define PID_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		PID_TEST(test_rule_is_for_the_process_whose_start_it_names),
		PID_TEST(test_rule_without_a_start_is_for_whoever_was_there_when_it_was_written),
		PID_TEST(test_rule_for_one_that_has_ended_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
