// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/foreign.h"
#include "daemon/takeover.h"

#include <errno.h>

#include "tests/unit/fake_host.h"
#include "tests/unit/made_core.h"

#define OURS     100
#define STRANGER 200

/* ksm_stat of a kernel that says who is mergeable, and of one that does not. */
#define STAT_YES "ksm_rmap_items 0\nksm_merge_any: no\nksm_mergeable: yes\n"
#define STAT_NO  "ksm_rmap_items 0\nksm_merge_any: no\nksm_mergeable: no\n"
#define STAT_ANY "ksm_rmap_items 5\nksm_merge_any: yes\nksm_mergeable: yes\n"
#define STAT_OLD "ksm_rmap_items 0\nksm_zero_pages 0\n"

static struct fake_root fake;
static struct core core;

static int setup(void **state)
{
	(void)state;
	fake_host_init(&fake);
	core.root = fake.root;
	(void)strcpy(core.active_group, "web");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	made_core_done(&core);
	fake_root_done(&fake);
	return 0;
}

/* A process that is nobody, as far as it is looked at. ksm_stat NULL: an old kernel without the file. */
static void add(pid_t pid, const char *ksm_stat, const struct fake_vma *vmas, size_t count)
{
	char text[256];

	(void)snprintf(text, sizeof(text),
		"%d (java) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0\n", (int)pid);
	fake_root_write(&fake, fake_host_path(pid, "stat"), text);
	if (ksm_stat)
		fake_root_write(&fake, fake_host_path(pid, "ksm_stat"), ksm_stat);
	fake_host_map(&fake, pid, vmas, count);
}

/* The pid of the only stranger, 0: none. */
static pid_t only_stranger(enum survey_depth depth, struct stranger *ret)
{
	struct stranger *strangers;
	size_t count;
	pid_t pid;

	assert_int_equal(foreign_survey(&core, depth, &strangers, &count), 0);
	assert_true(count <= 1);
	pid = count ? strangers[0].pid : 0;
	if (count && ret)
		*ret = strangers[0];
	free(strangers);
	return pid;
}

static struct fake_vma made_vma(size_t first, size_t extents, const char *flags)
{
	return (struct fake_vma){
		.start = MADE_BASE + first * EXTENT_BYTES,
		.end = MADE_BASE + (first + extents) * EXTENT_BYTES,
		.flags = flags,
	};
}

static void test_survey_of_a_host_without_mergeable_memory_finds_nobody(void **state)
{
	(void)state;
	assert_int_equal(only_stranger(SURVEY_THOROUGH, NULL), 0);
	add(STRANGER, STAT_NO, NULL, 0);
	assert_int_equal(only_stranger(SURVEY_THOROUGH, NULL), 0);
}

static void test_survey_finds_who_is_mergeable_and_how(void **state)
{
	struct stranger stranger;

	(void)state;
	add(STRANGER, STAT_YES, NULL, 0);
	assert_int_equal(only_stranger(SURVEY_QUICK, &stranger), STRANGER);
	assert_string_equal(stranger.name, "java");
	assert_false(stranger.merge_any || stranger.asked_for);
	add(STRANGER, STAT_ANY, NULL, 0);
	assert_int_equal(only_stranger(SURVEY_QUICK, &stranger), STRANGER);
	assert_true(stranger.merge_any);
}

/* Before Linux 6.17 one has to look at the mappings, of those that ksmd has seen. */
static void test_survey_on_old_kernels_looks_at_the_mappings(void **state)
{
	const struct fake_vma marked = made_vma(0, 1, "rd wr mg"), plain = made_vma(0, 1, "rd wr");

	(void)state;
	add(STRANGER, STAT_OLD, &marked, 1);
	assert_int_equal(only_stranger(SURVEY_QUICK, NULL), 0);
	add(STRANGER, "ksm_rmap_items 7\n", &marked, 1);
	assert_int_equal(only_stranger(SURVEY_QUICK, NULL), STRANGER);
	add(STRANGER, "ksm_rmap_items 7\n", &plain, 1);
	assert_int_equal(only_stranger(SURVEY_QUICK, NULL), 0);
}

static void test_survey_on_old_kernels_looks_at_every_vm(void **state)
{
	const struct fake_vma marked = made_vma(0, 1, "rd wr mg");

	(void)state;
	(void)strcpy(made_target(&core, OURS, "db", 1)->guest.vmm.cmdline.name, "db1");
	add(OURS, NULL, &marked, 1);
	assert_int_equal(only_stranger(SURVEY_QUICK, NULL), OURS);
	add(OURS, STAT_OLD, &marked, 1);
	assert_int_equal(only_stranger(SURVEY_QUICK, NULL), OURS);
}

static void test_survey_expects_what_we_marked_in_the_active_group(void **state)
{
	const struct fake_vma vma = made_vma(1, 1, "rd wr nh mg");
	struct target *target = made_target(&core, OURS, "web", 3);

	(void)state;
	add(OURS, STAT_YES, &vma, 1);
	target->guest.map.extents[1].marked = true;
	assert_int_equal(only_stranger(SURVEY_THOROUGH, NULL), 0);
	/* Observed since: its folds stay. */
	target->policy.mode = MODE_OBSERVE;
	assert_int_equal(only_stranger(SURVEY_QUICK, NULL), 0);
	/* Another group by now: to be released first. */
	(void)strcpy(target->policy.group, "db");
	assert_int_equal(only_stranger(SURVEY_QUICK, NULL), OURS);
}

static void test_survey_of_the_active_set_is_on_trust_when_quick(void **state)
{
	const struct fake_vma all = made_vma(0, 3, "rd wr hg mg");
	struct target *target = made_target(&core, OURS, "web", 3);
	struct stranger stranger;

	(void)state;
	add(OURS, STAT_YES, &all, 1);
	target->guest.map.extents[1].marked = true;
	assert_int_equal(only_stranger(SURVEY_QUICK, NULL), 0);
	assert_int_equal(only_stranger(SURVEY_THOROUGH, &stranger), OURS);
	assert_true(stranger.asked_for);
	assert_string_equal(stranger.name, "vm100");
	/* Observed: not even when quick. */
	target->policy.mode = MODE_OBSERVE;
	assert_int_equal(only_stranger(SURVEY_QUICK, &stranger), OURS);
	assert_false(stranger.asked_for);
}

static void test_survey_mergeable_memory_outside_the_ram_is_strange(void **state)
{
	const struct fake_vma vmas[] = {
		made_vma(1, 1, "rd wr nh mg"),
		made_vma(100, 1, "rd wr mg"),
	};
	struct target *target = made_target(&core, OURS, "web", 3);

	(void)state;
	target->guest.map.extents[1].marked = true;
	add(OURS, STAT_YES, vmas, 2);
	assert_int_equal(only_stranger(SURVEY_THOROUGH, NULL), OURS);
}

static void test_survey_does_not_look_at_ourselves(void **state)
{
	(void)state;
	add(getpid(), STAT_YES, NULL, 0);
	assert_int_equal(only_stranger(SURVEY_THOROUGH, NULL), 0);
}

static void test_survey_without_proc_is_an_error(void **state)
{
	struct stranger *strangers = NULL;
	size_t count = 77;

	(void)state;
	core.root.proc_fd = -1;
	assert_true(foreign_survey(&core, SURVEY_QUICK, &strangers, &count) < 0);
	assert_null(strangers);
	assert_int_equal(count, 77);
}

static void test_take_over_of_one_that_has_ended_says_so(void **state)
{
	const struct stranger stranger = { .pid = -1, .name = "java" };
	char *reason = NULL;

	(void)state;
	assert_int_equal(takeover_stranger(&core, &stranger, &reason), -ESRCH);
	assert_non_null(reason);
	free(reason);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define FOREIGN_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		FOREIGN_TEST(test_survey_of_a_host_without_mergeable_memory_finds_nobody),
		FOREIGN_TEST(test_survey_finds_who_is_mergeable_and_how),
		FOREIGN_TEST(test_survey_on_old_kernels_looks_at_the_mappings),
		FOREIGN_TEST(test_survey_on_old_kernels_looks_at_every_vm),
		FOREIGN_TEST(test_survey_expects_what_we_marked_in_the_active_group),
		FOREIGN_TEST(test_survey_of_the_active_set_is_on_trust_when_quick),
		FOREIGN_TEST(test_survey_mergeable_memory_outside_the_ram_is_strange),
		FOREIGN_TEST(test_survey_does_not_look_at_ourselves),
		FOREIGN_TEST(test_survey_without_proc_is_an_error),
		FOREIGN_TEST(test_take_over_of_one_that_has_ended_says_so),
	};

	return cmocka_run_group_tests_name("foreign", tests, NULL, NULL);
}
