// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/heirs.h"

#include "tests/unit/fake_host.h"
#include "tests/unit/made_core.h"

#define PARENT  100
#define BETWEEN 150
#define CHILD   200

#define MERGEABLE "ksm_rmap_items 5\nksm_merge_any: no\nksm_mergeable: yes\n"
#define MERGE_ANY "ksm_rmap_items 5\nksm_merge_any: yes\nksm_mergeable: yes\n"
/* The first mark was made at this tick. */
#define MARKED_AT 1000

static struct fake_root fake;
static struct core core;
static struct target *parent;

/* What is known of a child, and how it ends up where it is: what it must be to count as an heir. */
struct made_child {
	pid_t ppid;
	unsigned started;
	const char *exe, *ksm_stat;
	size_t first, extents; /* that are mergeable in it */
};

static const struct made_child heir = { PARENT, MARKED_AT + 1, "/bin/sh", MERGEABLE, 1, 1 };

static void write_stat(pid_t pid, pid_t ppid, unsigned started)
{
	char text[256];

	(void)snprintf(text, sizeof(text),
		"%d (java) S %d 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %u 0 0\n", (int)pid, (int)ppid,
		started);
	fake_root_write(&fake, fake_host_path(pid, "stat"), text);
}

static void add(const struct made_child *child)
{
	const struct fake_vma vma = {
		.start = MADE_BASE + child->first * EXTENT_BYTES,
		.end = MADE_BASE + (child->first + child->extents) * EXTENT_BYTES,
		.flags = "rd wr nh mg",
	};
	char exe[512];

	write_stat(CHILD, child->ppid, child->started);
	fake_root_write(&fake, fake_host_path(CHILD, "ksm_stat"), child->ksm_stat);
	fake_root_path(&fake, fake_host_path(CHILD, "exe"), exe);
	(void)unlink(exe);
	fake_root_link(&fake, fake_host_path(CHILD, "exe"), child->exe);
	fake_host_map(&fake, CHILD, &vma, child->extents ? 1 : 0);
}

static int setup(void **state)
{
	(void)state;
	fake_host_init(&fake);
	core.root = fake.root;
	parent = made_target(&core, PARENT, "web", 4);
	parent->guest.is_vm = false;
	parent->marked_since_ticks = MARKED_AT;
	parent->guest.map.extents[1].marked = parent->guest.map.extents[2].marked = true;
	write_stat(PARENT, 1, 1);
	fake_root_link(&fake, fake_host_path(PARENT, "exe"), "/bin/sh");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	made_core_done(&core);
	fake_root_done(&fake);
	return 0;
}

static void test_heir_is_who_was_forked_after_the_mark_and_has_no_other(void **state)
{
	(void)state;
	add(&heir);
	assert_ptr_equal(heirs_find_parent(&core, CHILD), parent);
}

static void test_heir_of_one_between_is_the_closest_that_we_know_s(void **state)
{
	struct made_child child = heir;

	(void)state;
	child.ppid = BETWEEN;
	write_stat(BETWEEN, PARENT, MARKED_AT + 1);
	add(&child);
	assert_ptr_equal(heirs_find_parent(&core, CHILD), parent);
}

static void test_heir_is_nobody_else(void **state)
{
	static const struct made_child strangers[] = {
		{ 1, MARKED_AT + 1, "/bin/sh", MERGEABLE, 1, 1 },      /* not its child */
		{ PARENT, MARKED_AT - 1, "/bin/sh", MERGEABLE, 1, 1 }, /* there before the mark */
		{ PARENT, MARKED_AT + 1, "/bin/true", MERGEABLE, 1,
			1 },                                           /* another program by now */
		{ PARENT, MARKED_AT + 1, "/bin/sh", MERGE_ANY, 1, 1 }, /* of its own accord */
		{ PARENT, MARKED_AT + 1, "/bin/sh", MERGEABLE, 3, 1 }, /* elsewhere */
		{ PARENT, MARKED_AT + 1, "/bin/sh", MERGEABLE, 2, 2 }, /* and elsewhere, too */
		{ PARENT, MARKED_AT + 1, "/bin/sh", MERGEABLE, 1, 0 }, /* nothing at all */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(strangers); i++) {
		add(&strangers[i]);
		assert_null(heirs_find_parent(&core, CHILD));
	}
	/* Each differs in one thing only from one that is. */
	add(&heir);
	assert_non_null(heirs_find_parent(&core, CHILD));
}

static void test_heir_is_nobody_of_a_vm_or_of_marks_of_unknown_age(void **state)
{
	(void)state;
	add(&heir);
	parent->marked_since_ticks = 0;
	assert_null(heirs_find_parent(&core, CHILD));
	parent->marked_since_ticks = MARKED_AT;
	parent->guest.is_vm = true;
	assert_null(heirs_find_parent(&core, CHILD));
}

static void test_policy_of_an_heir_follows_its_parent_s(void **state)
{
	struct target *child = made_target(&core, CHILD, "db", 4);

	(void)state;
	add(&heir);
	heirs_set_policy(&core.root, &core.registry, child);
	assert_int_equal(child->inherited_policy.mode, MODE_OBSERVE);
	assert_string_equal(child->inherited_policy.group, "web");
	parent->held = true;
	heirs_set_policy(&core.root, &core.registry, child);
	assert_int_equal(child->inherited_policy.mode, MODE_OFF);
	parent->held = false;
	parent->policy.mode = MODE_OFF;
	heirs_set_policy(&core.root, &core.registry, child);
	assert_int_equal(child->inherited_policy.mode, MODE_OFF);
	parent->policy.mode = MODE_MERGE;
	write_stat(CHILD, 1, MARKED_AT + 1); /* the parent has ended */
	heirs_set_policy(&core.root, &core.registry, child);
	assert_int_equal(child->inherited_policy.mode, MODE_OFF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define HEIR_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		HEIR_TEST(test_heir_is_who_was_forked_after_the_mark_and_has_no_other),
		HEIR_TEST(test_heir_of_one_between_is_the_closest_that_we_know_s),
		HEIR_TEST(test_heir_is_nobody_else),
		HEIR_TEST(test_heir_is_nobody_of_a_vm_or_of_marks_of_unknown_age),
		HEIR_TEST(test_policy_of_an_heir_follows_its_parent_s),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
