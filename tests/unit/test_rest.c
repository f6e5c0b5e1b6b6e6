// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/rest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "common/clock.h"
#include "tests/unit/fake_root.h"
#include "tests/unit/made_core.h"

#define PID 42

struct world {
	struct fake_root fake;
	struct core core;
	struct target *target;
};

static void footprint_is(struct world *world, unsigned resident, unsigned faults)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "20000 %u 20 1 0 400 0\n", resident);
	fake_root_write(&world->fake, "/proc/42/statm", text);
	(void)snprintf(text, sizeof(text),
		"42 (qemu) S 1 2 3 4 5 6 %u 8 9 10 11 12 13 14 15 16 17 18 19 20 21\n", faults);
	fake_root_write(&world->fake, "/proc/42/stat", text);
}

/* A pass that took 10 ms CPU for the rest has just ended. */
static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	fake_root_init(&world->fake);
	world->core.root = world->fake.root;
	world->target = made_target(&world->core, PID, "g", 1);
	footprint_is(world, 10240, 500);
	assert_int_equal(
		footprint_read(&world->core.root, PID, &world->target->guest.footprint), 0);
	rest_begin(&world->core, clock_monotonic_ns(), 0, 10 * NS_PER_MS);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	made_core_done(&world->core);
	fake_root_done(&world->fake);
	free(world);
	return 0;
}

static void test_rest_is_allowed_after_a_full_pass_until_it_has_cost_little(void **state)
{
	struct world *world = *state;

	assert_true(rest_is_allowed(&world->core));
	world->core.rest.full_ns -= 99 * NS_PER_S;
	assert_true(rest_is_allowed(&world->core));
	world->core.rest.full_ns -= NS_PER_S; /* 10,000 times 10 ms ago */
	assert_false(rest_is_allowed(&world->core));
}

static void test_rest_is_short_while_something_waits_to_be_folded(void **state)
{
	struct world *world = *state;

	world->core.plan.fold_pages = 100;
	assert_true(rest_is_allowed(&world->core));
	world->core.rest.full_ns -= 2 * NS_PER_S;
	assert_false(rest_is_allowed(&world->core));
}

static void test_rest_is_long_while_what_is_planned_waits_for_more(void **state)
{
	struct world *world = *state;

	world->core.config.scan_interval_s = 30;
	world->target->marked_extents = 100;
	world->core.plan.fold_pages = 100;
	world->core.batched_since_ns = clock_monotonic_ns();
	world->core.rest.full_ns -= 2 * NS_PER_S;
	assert_true(rest_is_allowed(&world->core));
	world->core.batched_since_ns -= 300 * NS_PER_S;
	assert_false(rest_is_allowed(&world->core));
}

static void test_rest_is_not_allowed_when_there_is_news(void **state)
{
	struct world *world = *state;

	world->core.index_stale = true;
	assert_false(rest_is_allowed(&world->core));
	world->core.index_stale = false;
	world->core.audit.due = true;
	assert_false(rest_is_allowed(&world->core));
	world->core.audit.due = false;
	world->core.once = true;
	assert_false(rest_is_allowed(&world->core));
	world->core.once = false;
	assert_true(rest_is_allowed(&world->core));
	rest_end(&world->core);
	assert_false(rest_is_allowed(&world->core));
}

static void test_rest_does_not_follow_a_burst(void **state)
{
	struct world *world = *state;

	world->core.bursts = 1;
	rest_begin(&world->core, clock_monotonic_ns(), 0, NS_PER_MS);
	assert_false(rest_is_allowed(&world->core));
	rest_begin(&world->core, clock_monotonic_ns(), 1, NS_PER_MS);
	assert_true(rest_is_allowed(&world->core));
}

static void test_rest_holds_for_who_hardly_moves(void **state)
{
	struct world *world = *state;

	assert_true(rest_holds(&world->core, world->target));
	footprint_is(world, 10240 - 15, 525); /* 40 of 10,225 */
	assert_false(rest_holds(&world->core, world->target));
	footprint_is(world, 10240, 539);
	assert_true(rest_holds(&world->core, world->target));
}

static void test_rest_does_not_hold_for_who_was_touched_or_is_unknown(void **state)
{
	struct world *world = *state;

	world->target->guest.advised = true;
	assert_false(rest_holds(&world->core, world->target));
	world->target->guest.advised = false;
	world->target->mapped = false;
	assert_false(rest_holds(&world->core, world->target));
	world->target->policy.mode = MODE_OFF; /* is not mapped in any pass */
	assert_true(rest_holds(&world->core, world->target));
}

static void test_rest_goes_on_until_there_is_something_to_count_or_to_plan(void **state)
{
	struct world *world = *state;

	assert_true(rest_goes_on(&world->core));
	world->core.settled = true;
	assert_false(rest_goes_on(&world->core));
	world->core.settled = false;
	recount_note(&world->core.recount, 100, clock_monotonic_ns());
	assert_false(rest_goes_on(&world->core));
}

static void test_rest_is_over_when_what_was_held_back_may_be_folded(void **state)
{
	struct world *world = *state;

	world->core.config.fold_when = FOLD_PRESSURE;
	fake_root_write(&world->fake, "/proc/meminfo",
		"MemTotal: 1000000 kB\nMemAvailable: 500000 kB\nAnonPages: 4 kB\n");
	(void)restraint_look(&world->core);
	assert_true(rest_is_allowed(&world->core));
	fake_root_write(&world->fake, "/proc/meminfo",
		"MemTotal: 1000000 kB\nMemAvailable: 50000 kB\nAnonPages: 4 kB\n");
	assert_false(rest_is_allowed(&world->core));
}

static void test_rest_spares_who_was_just_looked_at_for_a_neighbour_that_boots(void **state)
{
	struct world *world = *state;
	struct core *core = &world->core;
	struct target *target = world->target;
	const uint64_t now_ns = clock_monotonic_ns();

	target->guest.is_vm = target->mapped = true;
	target->looked_ns = now_ns - 9 * NS_PER_S;
	assert_false(rest_spares(core, target, now_ns)); /* nobody boots */
	core->hurried = true;
	assert_true(rest_spares(core, target, now_ns));
	target->looked_ns = now_ns - 10 * NS_PER_S;
	assert_false(rest_spares(core, target, now_ns));
	target->looked_ns = now_ns;
	target->young = true; /* it is the one that boots */
	assert_false(rest_spares(core, target, now_ns));
	target->young = false;
	core->bursts++; /* its share of what it has in common may be another one */
	assert_false(rest_spares(core, target, now_ns));
	target->looked_bursts = core->bursts;
	assert_true(rest_spares(core, target, now_ns));
	footprint_is(world, 10240, 600);
	assert_false(rest_spares(core, target, now_ns));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_rest_is_allowed_after_a_full_pass_until_it_has_cost_little, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			test_rest_is_short_while_something_waits_to_be_folded, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_rest_is_long_while_what_is_planned_waits_for_more, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_rest_is_not_allowed_when_there_is_news, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rest_does_not_follow_a_burst, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_rest_holds_for_who_hardly_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_rest_does_not_hold_for_who_was_touched_or_is_unknown, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_rest_goes_on_until_there_is_something_to_count_or_to_plan, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			test_rest_spares_who_was_just_looked_at_for_a_neighbour_that_boots, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			test_rest_is_over_when_what_was_held_back_may_be_folded, setup, teardown),
	};

	return cmocka_run_group_tests_name("rest", tests, NULL, NULL);
}
