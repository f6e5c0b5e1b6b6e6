// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/registry.h"

#include <errno.h>

#include "tests/unit/fake_host.h"

#define CHILDREN 3

struct world {
	struct fake_root fake;
	struct reserved_memory memory;
	struct child children[CHILDREN];
	struct registry registry;
	struct policy_rule rules[CHILDREN];
	struct policy_set policies;
	struct state recorded;
	struct registry_sources sources;
};

/* Two extents of memory that counts as guest RAM. */
static void child_memory(void *argument, char step)
{
	if (!step)
		(void)reserved_map(argument, 0, 2 * RESERVED_EXTENT, MADV_HUGEPAGE);
}

/* 'x': another program, which waits for ever. */
static void child_that_executes(void *argument, char step)
{
	static char *const argv[] = { (char *)(uintptr_t)"cat", NULL };
	int pipes[2];

	child_memory(argument, step);
	if (step != 'x' || pipe(pipes) < 0)
		return;
	(void)dup2(pipes[0], 0);
	execv("/bin/cat", argv);
}

static int compare_children(const void *a, const void *b)
{
	return ((const struct child *)a)->pid - ((const struct child *)b)->pid;
}

static const struct links_tables no_libvirt;

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	(void)alarm(60);
	fake_host_init(&world->fake);
	reserved_memory_init(&world->memory, 2 * RESERVED_EXTENT);
	for (size_t i = 0; i < CHILDREN; i++)
		child_start(&world->children[i], child_that_executes, &world->memory);
	qsort(world->children, CHILDREN, sizeof(world->children[0]), compare_children);
	world->sources = (struct registry_sources){
		.root = &world->fake.root,
		.policies = { &world->policies, &no_libvirt, MODE_OBSERVE },
		.allow_pagemap_scan = true,
		.recorded = &world->recorded,
	};
	world->policies.rules = world->rules;
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	registry_done(&world->registry);
	state_done(&world->recorded);
	for (size_t i = 0; i < CHILDREN; i++)
		child_stop(&world->children[i]);
	reserved_memory_done(&world->memory);
	fake_root_done(&world->fake);
	free(world);
	(void)alarm(0);
	return 0;
}

static pid_t pid_of(const struct world *world, size_t index)
{
	return world->children[index].pid;
}

static struct target *target_of(const struct world *world, size_t index)
{
	return registry_find(&world->registry, pid_of(world, index));
}

static void add_vm(struct world *world, size_t index, const char *name)
{
	const struct fake_vma vma = fake_vma_of(
		&world->memory, 0, 2 * RESERVED_EXTENT, "rd wr mr mw me hg");

	fake_host_add_qemu(&world->fake, pid_of(world, index), name);
	fake_host_map(&world->fake, pid_of(world, index), &vma, 1);
}

static void add_process(struct world *world, size_t index)
{
	const struct fake_vma vma = fake_vma_of(
		&world->memory, 0, 2 * RESERVED_EXTENT, "rd wr mr mw me");

	fake_host_add_process(&world->fake, pid_of(world, index), "/usr/bin/jvm");
	fake_host_map(&world->fake, pid_of(world, index), &vma, 1);
}

/* The strings are static: nobody frees this set. */
static void add_rule(struct world *world, size_t index, enum policy_mode mode)
{
	struct policy_rule *rule = &world->rules[world->policies.count++];

	*rule = (struct policy_rule){
		.section = (char *)(uintptr_t)"t",
		.file = (char *)(uintptr_t)"t.conf",
		.line = (unsigned)index + 1,
		.kind = MATCH_PID,
		.pid = pid_of(world, index),
		.mode_given = true,
	};
	policy_init(&rule->policy, mode);
}

static void refresh(struct world *world)
{
	char *trouble;

	assert_int_equal(registry_refresh(&world->registry, &world->sources, &trouble), 0);
	assert_null(trouble);
}

static void mark(struct world *world, size_t index)
{
	struct target *target = target_of(world, index);

	assert_int_equal(guest_map(&world->fake.root, &target->guest), 0);
	assert_int_equal(target->guest.map.count, 2);
	target->guest.map.extents[0].marked = true;
}

static bool is_marked(const struct world *world, size_t index)
{
	const struct target *target = target_of(world, index);

	return target && target_has_marks(target);
}

/* ---- discovery ---- */

static void test_registry_finds_vms_and_nothing_else(void **state)
{
	struct world *world = *state;

	add_vm(world, 0, "web1");
	add_process(world, 1);
	refresh(world);
	assert_int_equal(world->registry.count, 1);
	assert_string_equal(target_name(target_of(world, 0)), "web1");
	assert_int_equal(target_of(world, 0)->policy.mode, MODE_OBSERVE);
	assert_string_equal(target_of(world, 0)->policy_source, "default-mode");
	assert_string_equal(target_of(world, 0)->policy.group, "default");
}

static void test_registry_finds_processes_that_a_policy_names(void **state)
{
	struct world *world = *state;

	add_process(world, 0);
	add_process(world, 1);
	add_rule(world, 1, MODE_MERGE);
	refresh(world);
	assert_int_equal(world->registry.count, 1);
	assert_int_equal(target_of(world, 1)->policy.mode, MODE_MERGE);
	assert_string_equal(target_of(world, 1)->policy_source, "t.conf:2");
	assert_true(*target_name(target_of(world, 1)));
}

static void test_registry_keeps_the_order_of_pids(void **state)
{
	struct world *world = *state;

	add_vm(world, 2, "c");
	refresh(world);
	add_vm(world, 0, "a");
	add_vm(world, 1, "b");
	refresh(world);
	assert_int_equal(world->registry.count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(target_pid(world->registry.targets[i]), pid_of(world, i));
}

static void test_registry_keeps_what_is_known_of_those_that_go_on(void **state)
{
	struct world *world = *state;
	struct target *before;

	add_vm(world, 0, "a");
	refresh(world);
	before = target_of(world, 0);
	mark(world, 0);
	refresh(world);
	assert_ptr_equal(target_of(world, 0), before);
	assert_true(is_marked(world, 0));
}

static void test_registry_rule_without_a_mode_leaves_the_default(void **state)
{
	struct world *world = *state;

	add_vm(world, 0, "a");
	add_rule(world, 0, MODE_MERGE);
	world->rules[0].mode_given = false;
	refresh(world);
	assert_int_equal(target_of(world, 0)->policy.mode, MODE_OBSERVE);
	world->sources.policies.default_mode = MODE_OFF;
	refresh(world);
	assert_int_equal(target_of(world, 0)->policy.mode, MODE_OFF);
}

static void test_registry_without_proc_forgets_nobody(void **state)
{
	struct world *world = *state;
	struct fake_root empty;
	char *trouble;

	add_vm(world, 0, "a");
	refresh(world);
	fake_root_init(&empty);
	(void)close(empty.root.proc_fd);
	empty.root.proc_fd = -1;
	world->sources.root = &empty.root;
	assert_true(registry_refresh(&world->registry, &world->sources, &trouble) < 0);
	assert_null(trouble);
	assert_non_null(target_of(world, 0));
	fake_root_done(&empty);
}

/* ---- the end of one ---- */

static void test_registry_drops_what_has_ended(void **state)
{
	struct world *world = *state;

	add_vm(world, 0, "a");
	add_vm(world, 1, "b");
	refresh(world);
	child_kill(&world->children[0]);
	fake_host_remove(&world->fake, pid_of(world, 0));
	refresh(world);
	assert_null(target_of(world, 0));
	assert_non_null(target_of(world, 1));
}

static void test_registry_zombie_takes_nobody_with_it(void **state)
{
	struct world *world = *state;
	struct target *survivor;

	for (size_t i = 0; i < 3; i++) {
		add_process(world, i);
		add_rule(world, i, MODE_MERGE);
	}
	refresh(world);
	mark(world, 2);
	survivor = target_of(world, 2);
	child_kill(&world->children[0]); /* still in /proc: nobody has waited for it */
	refresh(world);
	assert_null(target_of(world, 0));
	assert_non_null(target_of(world, 1));
	assert_ptr_equal(target_of(world, 2), survivor);
	assert_true(is_marked(world, 2));
}

static void test_registry_process_whose_rule_has_gone_is_dropped(void **state)
{
	struct world *world = *state;

	add_process(world, 0);
	add_rule(world, 0, MODE_MERGE);
	refresh(world);
	assert_non_null(target_of(world, 0));
	world->policies.count = 0;
	refresh(world);
	assert_null(target_of(world, 0));
}

static void test_registry_marked_process_whose_rule_has_gone_is_kept_and_switched_off(void **state)
{
	struct world *world = *state;

	add_process(world, 0);
	add_rule(world, 0, MODE_MERGE);
	refresh(world);
	mark(world, 0);
	world->policies.count = 0;
	refresh(world);
	assert_true(is_marked(world, 0));
	assert_int_equal(target_of(world, 0)->policy.mode, MODE_OFF);
	target_of(world, 0)->guest.map.extents[0].marked = false;
	refresh(world);
	assert_null(target_of(world, 0));
}

static void test_registry_marked_process_that_cannot_be_found_is_not_forgotten(void **state)
{
	struct world *world = *state;

	add_vm(world, 0, "a");
	refresh(world);
	mark(world, 0);
	fake_host_remove(&world->fake, pid_of(world, 0));
	refresh(world);
	assert_true(is_marked(world, 0));
}

static void test_registry_process_that_executes_another_program_is_opened_anew(void **state)
{
	struct world *world = *state;
	struct target *before;
	char waits;

	add_process(world, 0);
	add_rule(world, 0, MODE_MERGE);
	refresh(world);
	mark(world, 0);
	before = target_of(world, 0);
	assert_true(pagemap_is_current(&before->guest.pagemap));
	/* Its end of the pipe is closed by no one but the end of the program: so ask /proc. */
	waits = 'x';
	assert_int_equal(write(world->children[0].commands, &waits, 1), 1);
	while (pagemap_is_current(&before->guest.pagemap))
		;
	refresh(world);
	assert_non_null(target_of(world, 0));
	assert_true(pagemap_is_current(&target_of(world, 0)->guest.pagemap));
	assert_false(is_marked(world, 0));
}

/* ---- what an earlier daemon recorded ---- */

static void record(struct world *world, size_t index, uint64_t start_ticks_off, bool held)
{
	const struct fake_vma vmas[] = {
		fake_vma_of(&world->memory, 0, RESERVED_EXTENT, "rd wr mr mw me nh mg"),
		fake_vma_of(&world->memory, RESERVED_EXTENT, RESERVED_EXTENT, "rd wr mr mw me hg"),
	};
	struct process_stat stat;
	struct state_target *target;

	assert_int_equal(process_stat_read(&world->fake.root, pid_of(world, index), &stat), 0);
	world->recorded.targets = calloc(1, sizeof(*target));
	world->recorded.target_count = 1;
	fake_host_map(&world->fake, pid_of(world, index), vmas, ARRAY_SIZE(vmas));
	target = &world->recorded.targets[0];
	target->id = (struct process_id){ pid_of(world, index), stat.start_ticks + start_ticks_off };
	target->extents = calloc(1, sizeof(*target->extents));
	target->extent_count = 1;
	target->extents[0] = (struct state_extent){
		.start = reserved_address(&world->memory, 0),
		.end = reserved_address(&world->memory, RESERVED_EXTENT),
		.advice = HUGE_ADVICE_ALWAYS,
		.zero_before = 3,
		.was_huge = true,
	};
	target->held = held;
	target->held_policy = held ? strdup("observe default auto balance") : NULL;
}

static void test_registry_adopts_the_marks_of_this_very_process(void **state)
{
	struct world *world = *state;
	const struct extent *extent;

	add_vm(world, 0, "a");
	record(world, 0, 0, false);
	refresh(world);
	assert_true(is_marked(world, 0));
	extent = &target_of(world, 0)->guest.map.extents[0];
	assert_int_equal(extent->advice, HUGE_ADVICE_ALWAYS);
	assert_int_equal(extent->zero_before, 3);
	assert_true(extent->was_huge);
	assert_false(target_of(world, 0)->guest.map.extents[1].marked);
	assert_int_equal(world->recorded.target_count, 0);
}

static void test_registry_does_not_adopt_the_marks_of_a_recycled_pid(void **state)
{
	struct world *world = *state;

	add_vm(world, 0, "a");
	record(world, 0, 1, false);
	refresh(world);
	assert_non_null(target_of(world, 0));
	assert_false(is_marked(world, 0));
}

static void test_registry_adopts_a_process_without_a_rule_until_it_has_no_marks(void **state)
{
	struct world *world = *state;

	add_process(world, 0);
	record(world, 0, 0, false);
	refresh(world);
	assert_true(is_marked(world, 0));
	assert_int_equal(target_of(world, 0)->policy.mode, MODE_OFF);
	target_of(world, 0)->guest.map.extents[0].marked = false;
	refresh(world);
	assert_null(target_of(world, 0));
	refresh(world);
	assert_null(target_of(world, 0)); /* the old record does not bring it back */
}

static void test_registry_hold_ends_with_a_change_of_policy(void **state)
{
	struct world *world = *state;

	add_vm(world, 0, "a");
	record(world, 0, 0, true);
	refresh(world);
	assert_true(target_of(world, 0)->held);
	refresh(world);
	assert_true(target_of(world, 0)->held);
	add_rule(world, 0, MODE_MERGE);
	refresh(world);
	assert_false(target_of(world, 0)->held);
	assert_null(target_of(world, 0)->held_policy);
}

/* ---- books of the hooks ---- */

static int hooks_detached;

static int hook_cpu(struct merge_hook *hook, uint64_t *ret_ns)
{
	(void)hook;
	*ret_ns = 1000;
	return 0;
}

static uint64_t hook_helper_cpu(struct merge_hook *hook)
{
	(void)hook;
	return 7;
}

static void hook_detach(struct merge_hook *hook)
{
	(void)hook;
	hooks_detached++;
}

static void test_registry_keeps_the_costs_of_those_that_are_gone(void **state)
{
	static const struct merge_hook_ops ops = {
		.name = "test", .cpu_ns = hook_cpu, .helper_cpu_ns = hook_helper_cpu,
		.detach = hook_detach,
	};
	static struct merge_hook hook = { .ops = &ops };
	struct world *world = *state;
	uint64_t ring_ns, helper_ns;

	hooks_detached = 0;
	for (size_t i = 0; i < 2; i++) {
		add_vm(world, i, "vm");
		refresh(world);
		target_of(world, i)->hook = &hook;
	}
	registry_hook_cpu(&world->registry, &ring_ns, &helper_ns);
	assert_int_equal(ring_ns, 2000);
	child_kill(&world->children[0]);
	refresh(world);
	assert_int_equal(hooks_detached, 1);
	assert_int_equal(world->registry.ended_cpu_ns, 1007);
	registry_hook_cpu(&world->registry, &ring_ns, &helper_ns);
	assert_int_equal(ring_ns, 2000);
	assert_int_equal(helper_ns, 14);
	registry_hook_detach(&world->registry, target_of(world, 1));
	registry_hook_detach(&world->registry, target_of(world, 1));
	assert_int_equal(hooks_detached, 2);
	assert_int_equal(ledger_of(target_of(world, 1)), 1007);
	registry_hook_cpu(&world->registry, &ring_ns, &helper_ns);
	assert_int_equal(ring_ns, 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define REGISTRY_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		REGISTRY_TEST(test_registry_finds_vms_and_nothing_else),
		REGISTRY_TEST(test_registry_finds_processes_that_a_policy_names),
		REGISTRY_TEST(test_registry_keeps_the_order_of_pids),
		REGISTRY_TEST(test_registry_keeps_what_is_known_of_those_that_go_on),
		REGISTRY_TEST(test_registry_rule_without_a_mode_leaves_the_default),
		REGISTRY_TEST(test_registry_without_proc_forgets_nobody),
		REGISTRY_TEST(test_registry_drops_what_has_ended),
		REGISTRY_TEST(test_registry_zombie_takes_nobody_with_it),
		REGISTRY_TEST(test_registry_process_whose_rule_has_gone_is_dropped),
		REGISTRY_TEST(
			test_registry_marked_process_whose_rule_has_gone_is_kept_and_switched_off),
		REGISTRY_TEST(test_registry_marked_process_that_cannot_be_found_is_not_forgotten),
		REGISTRY_TEST(test_registry_process_that_executes_another_program_is_opened_anew),
		REGISTRY_TEST(test_registry_adopts_the_marks_of_this_very_process),
		REGISTRY_TEST(test_registry_does_not_adopt_the_marks_of_a_recycled_pid),
		REGISTRY_TEST(
			test_registry_adopts_a_process_without_a_rule_until_it_has_no_marks),
		REGISTRY_TEST(test_registry_hold_ends_with_a_change_of_policy),
		REGISTRY_TEST(test_registry_keeps_the_costs_of_those_that_are_gone),
	};

	return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
