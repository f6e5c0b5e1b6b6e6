// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/commands.h"

#include <errno.h>

#include "tests/unit/fake_host.h"
#include "tests/unit/temp_dir.h"

#define BOOT     "11111111-2222-3333-4444-555555555555"
#define CHILDREN 2

struct world {
	struct fake_root fake;
	struct temp_dir state_dir;
	struct reserved_memory memory;
	struct child children[CHILDREN];
	struct interrupt interrupt;
	struct core core;
};

static void child_memory(void *argument, char step)
{
	if (!step)
		(void)reserved_map(argument, 0, 2 * RESERVED_EXTENT, MADV_HUGEPAGE);
}

static void refresh(struct world *world)
{
	static const struct links_tables no_libvirt;
	const struct registry_sources sources = {
		.root = &world->core.root,
		.policies = { &world->core.policies, &no_libvirt, MODE_MERGE },
		.allow_pagemap_scan = true,
		.recorded = &world->core.recorded,
	};
	char *trouble;

	assert_int_equal(registry_refresh(&world->core.registry, &sources, &trouble), 0);
	assert_null(trouble);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct fake_vma vma;

	(void)alarm(60);
	fake_host_init(&world->fake);
	world->state_dir = temp_dir_make();
	reserved_memory_init(&world->memory, 2 * RESERVED_EXTENT);
	vma = fake_vma_of(&world->memory, 0, 2 * RESERVED_EXTENT, "rd wr hg");
	for (size_t i = 0; i < CHILDREN; i++) {
		child_start(&world->children[i], child_memory, &world->memory);
		fake_host_add_qemu(&world->fake, world->children[i].pid, i ? "web2" : "web1");
		fake_host_map(&world->fake, world->children[i].pid, &vma, 1);
	}
	assert_int_equal(interrupt_init(&world->interrupt), 0);
	driver_init(&world->core.driver);
	assert_int_equal(host_root_open(world->fake.path, &world->core.root), 0);
	(void)strcpy(world->core.recorded.boot_id, BOOT);
	world->core.state_dir = world->state_dir.path;
	world->core.interrupt = &world->interrupt;
	refresh(world);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	core_close(&world->core);
	interrupt_done(&world->interrupt);
	for (size_t i = 0; i < CHILDREN; i++)
		child_stop(&world->children[i]);
	reserved_memory_done(&world->memory);
	temp_dir_remove(&world->state_dir);
	fake_root_done(&world->fake);
	free(world);
	(void)alarm(0);
	return 0;
}

static struct target *target_of(const struct world *world, size_t index)
{
	return registry_find(&world->core.registry, world->children[index].pid);
}

/* says: NULL: nothing, else a part of the message. */
static void run(struct world *world, struct api_request request, int error, const char *says)
{
	struct api_outcome outcome;

	commands_run(&world->core, &request, &outcome);
	assert_int_equal(outcome.error, error);
	if (!says) {
		assert_null(outcome.message);
	} else {
		assert_non_null(outcome.message);
		if (!strstr(outcome.message, says))
			fail_msg("\"%s\" is not in \"%s\"", says, outcome.message);
	}
	free(outcome.message);
}

static void assert_recorded(const struct world *world, bool paused, size_t held)
{
	struct state recorded;

	assert_int_equal(state_load(world->state_dir.path, BOOT, &recorded), 0);
	assert_int_equal(recorded.paused, paused);
	assert_int_equal(recorded.target_count, held);
	for (size_t i = 0; i < held; i++)
		assert_true(recorded.targets[i].held);
	state_done(&recorded);
}

static void test_pause_and_resume_are_recorded(void **state)
{
	struct world *world = *state;

	run(world, (struct api_request){ .command = API_PAUSE }, 0, NULL);
	assert_true(world->core.paused);
	assert_recorded(world, true, 0);
	run(world, (struct api_request){ .command = API_PAUSE }, 0, NULL);
	assert_recorded(world, true, 0);
	run(world, (struct api_request){ .command = API_RESUME }, 0, NULL);
	assert_false(world->core.paused);
	assert_recorded(world, false, 0);
}

static void test_pause_that_cannot_be_recorded_does_not_take_place(void **state)
{
	struct world *world = *state;

	world->core.state_dir = "/nonexistent/pagefold";
	run(world, (struct api_request){ .command = API_PAUSE }, -ENOENT,
		"the state record could not be written");
	assert_false(world->core.paused);
}

static void test_release_holds_the_vm_and_records_it(void **state)
{
	struct world *world = *state;
	const pid_t pid = world->children[0].pid;

	run(world, (struct api_request){ .command = API_RELEASE, .pid = pid }, 0, NULL);
	assert_true(target_of(world, 0)->held);
	assert_string_equal(target_of(world, 0)->held_policy, "merge default auto balance");
	assert_false(target_of(world, 1)->held);
	assert_recorded(world, false, 1);
	/* Twice is fine. */
	run(world, (struct api_request){ .command = API_RELEASE, .pid = pid }, 0, NULL);
	assert_recorded(world, false, 1);
	run(world, (struct api_request){ .command = API_END_HOLD, .pid = pid }, 0, NULL);
	assert_false(target_of(world, 0)->held);
	assert_recorded(world, false, 0);
}

static void test_release_of_all_holds_all(void **state)
{
	struct world *world = *state;

	run(world, (struct api_request){ .command = API_RELEASE, .all = true }, 0, NULL);
	assert_true(target_of(world, 0)->held && target_of(world, 1)->held);
	assert_recorded(world, false, 2);
}

static void test_release_of_all_does_not_mind_one_that_has_ended(void **state)
{
	struct world *world = *state;

	child_kill(&world->children[0]);
	run(world, (struct api_request){ .command = API_RELEASE, .all = true }, 0, NULL);
	assert_true(target_of(world, 1)->held);
}

static void test_release_of_one_that_has_ended_says_so(void **state)
{
	struct world *world = *state;
	const pid_t pid = world->children[0].pid;

	child_kill(&world->children[0]);
	run(world, (struct api_request){ .command = API_RELEASE, .pid = pid }, -ESRCH, "web1");
	refresh(world);
	run(world, (struct api_request){ .command = API_RELEASE, .pid = pid }, -ESRCH, "has ended");
	run(world, (struct api_request){ .command = API_END_HOLD, .pid = pid }, 0, NULL);
}

/* Nothing here can be un-marked: there is no ring in this core. */
static void test_release_that_is_refused_holds_nothing(void **state)
{
	struct world *world = *state;

	assert_int_equal(guest_map(&world->core.root, &target_of(world, 1)->guest), 0);
	target_of(world, 1)->guest.map.extents[0].marked = true;
	run(world, (struct api_request){ .command = API_RELEASE, .all = true }, -ENOTSUP, "web2");
	assert_true(target_of(world, 0)->held);
	assert_false(target_of(world, 1)->held);
	assert_true(target_has_marks(target_of(world, 1)));
	world->core.state_dir = "/nonexistent/pagefold";
	run(world, (struct api_request){ .command = API_RELEASE, .pid = world->children[1].pid },
		-EAGAIN, "web2");
	target_of(world, 1)->guest.map.extents[0].marked = false;
}

static void test_release_whose_hold_cannot_be_recorded_says_so(void **state)
{
	struct world *world = *state;

	world->core.state_dir = "/nonexistent/pagefold";
	run(world, (struct api_request){ .command = API_RELEASE, .all = true }, 0,
		"could not be recorded");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define COMMANDS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		COMMANDS_TEST(test_pause_and_resume_are_recorded),
		COMMANDS_TEST(test_pause_that_cannot_be_recorded_does_not_take_place),
		COMMANDS_TEST(test_release_holds_the_vm_and_records_it),
		COMMANDS_TEST(test_release_of_all_holds_all),
		COMMANDS_TEST(test_release_of_all_does_not_mind_one_that_has_ended),
		COMMANDS_TEST(test_release_of_one_that_has_ended_says_so),
		COMMANDS_TEST(test_release_that_is_refused_holds_nothing),
		COMMANDS_TEST(test_release_whose_hold_cannot_be_recorded_says_so),
	};

	return cmocka_run_group_tests_name("commands", tests, NULL, NULL);
}
