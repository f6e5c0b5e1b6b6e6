// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/target.h"

#include <errno.h>

#include "tests/unit/fake_host.h"

struct world {
	struct fake_root fake;
	struct reserved_memory memory;
	struct child child;
	struct target *target;
};

static void child_memory(void *argument, char step)
{
	if (!step)
		(void)reserved_map(argument, 0, 3 * RESERVED_EXTENT, MADV_HUGEPAGE);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct fake_vma vmas[3];

	(void)alarm(60);
	fake_host_init(&world->fake);
	reserved_memory_init(&world->memory, 3 * RESERVED_EXTENT);
	child_start(&world->child, child_memory, &world->memory);
	fake_host_add_qemu(&world->fake, world->child.pid, "web1");
	vmas[0] = fake_vma_of(&world->memory, 0, RESERVED_EXTENT, "rd wr hg");
	vmas[1] = fake_vma_of(&world->memory, RESERVED_EXTENT, RESERVED_EXTENT, "rd wr mg nh");
	vmas[2] = fake_vma_of(&world->memory, 2 * RESERVED_EXTENT, RESERVED_EXTENT, "rd wr nh");
	fake_host_map(&world->fake, world->child.pid, vmas, 3);
	assert_int_equal(
		target_new(&world->fake.root, world->child.pid, true, &world->target), 0);
	assert_int_equal(guest_map(&world->fake.root, &world->target->guest), 0);
	assert_int_equal(world->target->guest.map.count, 3);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	assert_null(target_free(world->target));
	child_stop(&world->child);
	reserved_memory_done(&world->memory);
	fake_root_done(&world->fake);
	free(world);
	(void)alarm(0);
	return 0;
}

static struct state_extent recorded_extent(const struct world *world, size_t index)
{
	return (struct state_extent){
		.start = reserved_address(&world->memory, index * RESERVED_EXTENT),
		.end = reserved_address(&world->memory, (index + 1) * RESERVED_EXTENT),
		.advice = HUGE_ADVICE_ALWAYS,
		.zero_before = 12,
	};
}

static void test_target_new_of_nobody_is_refused(void **state)
{
	struct world *world = *state;
	struct target *none = NULL;

	assert_int_equal(target_new(&world->fake.root, -1, true, &none), -ESRCH);
	assert_null(none);
	assert_null(target_free(NULL));
}

static void test_target_adopts_what_is_recorded_and_still_marked(void **state)
{
	struct world *world = *state;
	uint8_t shared[EXTENT_PAGES] = { 2, 3 };
	struct state_extent extents[] = {
		recorded_extent(world, 0), recorded_extent(world, 1), recorded_extent(world, 2),
	};
	const struct state_target recorded = { .extents = extents, .extent_count = 3 };
	const struct extent *adopted = world->target->guest.map.extents;

	extents[1].shared_before = shared;
	assert_false(target_has_marks(world->target));
	assert_int_equal(target_adopt(world->target, &recorded), 0);
	/* The first shows no trace of a mark any more; the last has our huge-page advice. */
	assert_false(adopted[0].marked);
	assert_true(adopted[1].marked);
	assert_true(adopted[2].marked);
	assert_int_equal(adopted[1].advice, HUGE_ADVICE_ALWAYS);
	assert_int_equal(adopted[1].zero_before, 12);
	assert_ptr_not_equal(adopted[1].shared_before, shared);
	assert_memory_equal(adopted[1].shared_before, shared, sizeof(shared));
	assert_null(adopted[2].shared_before);
	assert_true(target_has_marks(world->target));
	assert_int_equal(target_adopt(world->target, &recorded), 0);
}

static void test_target_marks_with_other_bounds_are_not_adopted(void **state)
{
	struct world *world = *state;
	struct state_extent extents[] = {
		recorded_extent(world, 1), recorded_extent(world, 1), recorded_extent(world, 1),
	};
	const struct state_target recorded = { .extents = extents, .extent_count = 3 };

	extents[0].end -= PAGE_BYTES;
	extents[1].start += PAGE_BYTES;
	extents[2].start += 16 * RESERVED_EXTENT;
	extents[2].end += 16 * RESERVED_EXTENT;
	assert_int_equal(target_adopt(world->target, &recorded), 0);
	assert_false(target_has_marks(world->target));
}

static void test_target_marks_on_memory_that_shows_none_are_taken_back(void **state)
{
	struct world *world = *state;
	struct extent *extents = world->target->guest.map.extents;
	static const struct {
		enum huge_advice advice; /* before the mark */
		bool stays[3];           /* of hg, mg nh, nh */
	} cases[] = {
		{ HUGE_ADVICE_ALWAYS, { false, true, true } },
		{ HUGE_ADVICE_NEVER, { false, true, false } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t e = 0; e < 3; e++) {
			extents[e].marked = extents[e].fresh = true;
			extents[e].advice = (uint8_t)cases[i].advice;
			extents[e].visits = 5;
			extents[e].folded = 7;
			free(extents[e].shared_before);
			extents[e].shared_before = calloc(EXTENT_PAGES, 1);
		}
		assert_int_equal(target_marks(world->target), 3);
		target_check_marks(world->target);
		for (size_t e = 0; e < 3; e++) {
			const bool stays = cases[i].stays[e];

			assert_int_equal(extents[e].marked, stays);
			assert_int_equal(extents[e].visits, stays ? 5 : 0);
			assert_int_equal(extents[e].folded, stays ? 7 : 0);
			assert_int_equal(extents[e].shared_before != NULL, stays);
		}
	}
	assert_int_equal(target_marks(world->target), 1);
}

static void test_target_adopts_a_hold_with_its_policy(void **state)
{
	struct world *world = *state;
	const struct state_target recorded = {
		.held = true,
		.held_policy = (char *)(uintptr_t)"merge web auto balance",
	};

	assert_int_equal(target_adopt(world->target, &recorded), 0);
	assert_true(world->target->held);
	assert_string_equal(world->target->held_policy, recorded.held_policy);
	assert_ptr_not_equal(world->target->held_policy, recorded.held_policy);
}

static void test_target_wants_folds_only_if_everything_agrees(void **state)
{
	static const struct {
		bool mapped, held;
		enum policy_mode mode;
		const char *group;
		bool wants;
	} cases[] = {
		{ true, false, MODE_MERGE, "web", true },
		{ false, false, MODE_MERGE, "web", false },
		{ true, true, MODE_MERGE, "web", false },
		{ true, false, MODE_OBSERVE, "web", false },
		{ true, false, MODE_OFF, "web", false },
		{ true, false, MODE_MERGE, "db", false },
		{ true, false, MODE_MERGE, "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct target target = { .mapped = cases[i].mapped, .held = cases[i].held };

		policy_init(&target.policy, cases[i].mode);
		(void)strcpy(target.policy.group, "web");
		assert_int_equal(target_wants_folds(&target, cases[i].group), cases[i].wants);
	}
}

static void test_target_policy_text_tells_policies_apart(void **state)
{
	struct policy policy;
	char *text;

	(void)state;
	policy_init(&policy, MODE_MERGE);
	text = target_policy_text(&policy);
	assert_string_equal(text, "merge default auto balance");
	free(text);
	policy = (struct policy){ MODE_OFF, "db", HOOK_NONE, HUGEPAGES_KEEP };
	text = target_policy_text(&policy);
	assert_string_equal(text, "off db none keep");
	free(text);
}

static void test_text_set_may_use_the_text_that_it_replaces(void **state)
{
	char *text = NULL;

	(void)state;
	text_set(&text, "%s", "one");
	assert_string_equal(text, "one");
	text_set(&text, "%s; %d", text, 2);
	assert_string_equal(text, "one; 2");
	free(text);
}

static int detached;

static void count_detach(struct merge_hook *hook)
{
	(void)hook;
	detached++;
}

static void test_target_free_lets_go_of_the_hook(void **state)
{
	static const struct merge_hook_ops ops = { .name = "test", .detach = count_detach };
	static struct merge_hook hook = { .ops = &ops };
	struct world *world = *state;

	detached = 0;
	world->target->hook = &hook;
	text_set(&world->target->reason, "a reason");
	text_set(&world->target->trouble, "trouble");
	world->target = target_free(world->target);
	assert_null(world->target);
	assert_int_equal(detached, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TARGET_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TARGET_TEST(test_target_new_of_nobody_is_refused),
		TARGET_TEST(test_target_adopts_what_is_recorded_and_still_marked),
		TARGET_TEST(test_target_marks_with_other_bounds_are_not_adopted),
		TARGET_TEST(test_target_marks_on_memory_that_shows_none_are_taken_back),
		TARGET_TEST(test_target_adopts_a_hold_with_its_policy),
		TARGET_TEST(test_target_free_lets_go_of_the_hook),
		cmocka_unit_test(test_target_wants_folds_only_if_everything_agrees),
		cmocka_unit_test(test_target_policy_text_tells_policies_apart),
		cmocka_unit_test(test_text_set_may_use_the_text_that_it_replaces),
	};

	return cmocka_run_group_tests_name("target", tests, NULL, NULL);
}
