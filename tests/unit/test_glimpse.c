// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/glimpse.h"

#include "common/clock.h"
#include "daemon/visit.h"
#include "tests/unit/made_core.h"
#include "tests/unit/child.h"
#include "tests/unit/reserved_memory.h"

#define EXTENTS 70

/* What the child's extents hold; the others are its own from end to end. */
enum {
	OF_TWINS,      /* of the next one */
	OF_TWINS_TOO,
	OF_ZEROS,
	OF_HIDDEN,     /* what is looked at here is elsewhere in the twins */
	HALF_EMPTY,    /* less than half of it is there */
	OWN,
};

/* Where a glimpse looks first, and where it never does. */
#define SEEN     24
#define NOT_SEEN 100

struct world {
	struct core core;
	struct interrupt interrupt;
	struct reserved_memory memory;
	struct child child;
	struct target *target;
};

static uint64_t content(unsigned extent, unsigned page)
{
	if (extent == OF_TWINS_TOO)
		extent = OF_TWINS;
	if (extent == OF_HIDDEN && page >= SEEN && page < SEEN + 8)
		return content(OF_TWINS, NOT_SEEN + page - SEEN);
	return extent == OF_ZEROS ? 0 : (uint64_t)extent * EXTENT_PAGES + page + 1;
}

static void child_work_fill(void *argument, char step)
{
	const struct reserved_memory *reserved = argument;
	char *memory;

	if (step)
		return;
	memory = reserved_map(reserved, 0, EXTENTS * RESERVED_EXTENT, MADV_NOHUGEPAGE);
	for (unsigned extent = 0; extent < EXTENTS; extent++)
		for (unsigned page = extent == HALF_EMPTY ? 300 : 0; page < EXTENT_PAGES; page++) {
			const uint64_t value = content(extent, page);

			memcpy(memory + extent * RESERVED_EXTENT + page * RESERVED_PAGE, &value,
				sizeof(value));
		}
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct core *core = &world->core;
	struct target *target;

	(void)alarm(60);
	assert_int_equal(host_root_open("", &core->root), 0);
	core->config.cpu_percent = 100;
	core->config.scan_interval_s = 30;
	core->once = true; /* a process that has just begun is not waited for */
	assert_int_equal(crew_init(&core->crew), 0);
	budget_init(&core->budget, 100);
	assert_int_equal(interrupt_init(&world->interrupt), 0);
	core->interrupt = &world->interrupt;
	reserved_memory_init(&world->memory, EXTENTS * RESERVED_EXTENT);
	child_start(&world->child, child_work_fill, &world->memory);
	target = made_target(core, world->child.pid, "web", EXTENTS);
	assert_int_equal(process_open(&core->root, world->child.pid, &target->guest.process), 0);
	assert_int_equal(
		pagemap_open(&core->root, world->child.pid, true, &target->guest.pagemap), 0);
	for (unsigned e = 0; e < EXTENTS; e++) {
		extent_prints_free(target->guest.map.extents[e].prints);
		target->guest.map.extents[e] = (struct extent){
			.start = reserved_address(&world->memory, e * RESERVED_EXTENT),
			.end = reserved_address(&world->memory, (e + 1) * RESERVED_EXTENT),
		};
	}
	world->target = target;
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;
	struct core *core = &world->core;

	child_stop(&world->child);
	crew_done(&core->crew);
	budget_done(&core->budget);
	interrupt_done(&world->interrupt);
	host_root_done(&core->root);
	made_core_done(core);
	reserved_memory_done(&world->memory);
	free(world);
	return 0;
}

static struct extent *extent_of(const struct world *world, unsigned extent)
{
	return &world->target->guest.map.extents[extent];
}

static unsigned extents_read(const struct world *world)
{
	unsigned count = 0;

	for (unsigned e = 0; e < EXTENTS; e++)
		count += extent_of(world, e)->visits > 0;
	return count;
}

static void test_glimpse_has_what_has_twins_read_first(void **state)
{
	struct world *world = *state;

	assert_int_equal(visit_due(&world->core), 0);
	assert_int_equal(extent_of(world, OF_TWINS)->pages_read, EXTENT_PAGES);
	assert_int_equal(extent_of(world, OF_TWINS_TOO)->pages_read, EXTENT_PAGES);
	assert_int_equal(extent_of(world, OF_ZEROS)->zeros, EXTENT_PAGES);
	/* Only what was read shows that this one has twins. */
	assert_int_equal(extent_of(world, OF_HIDDEN)->pages_read, EXTENT_PAGES);
	assert_int_equal(extent_of(world, HALF_EMPTY)->pages_read, 212);
	for (unsigned e = OWN; e < EXTENTS; e++) {
		assert_int_equal(extent_of(world, e)->visits, 0);
		assert_null(extent_of(world, e)->prints);
		assert_true(extent_of(world, e)->put_off);
	}
	assert_true(glimpses_are_owed(&world->core));
}

static void test_glimpse_puts_nothing_off_for_ever(void **state)
{
	struct world *world = *state;

	assert_int_equal(visit_due(&world->core), 0);
	assert_int_equal(extents_read(world), OWN);
	assert_int_equal(visit_due(&world->core), 0);
	assert_int_equal(extents_read(world), EXTENTS);
	assert_int_equal(extent_of(world, OWN)->pages_read, EXTENT_PAGES);
	assert_false(extent_of(world, OWN)->put_off);
	assert_false(glimpses_are_owed(&world->core));
}

static void test_glimpse_lets_what_was_found_go_before(void **state)
{
	struct world *world = *state;
	struct core *core = &world->core;

	assert_int_equal(visit_due(core), 0);
	core->plan.fold_pages = 100;
	assert_int_equal(visit_due(core), 0);
	assert_int_equal(extents_read(world), OWN);
	assert_true(glimpses_are_owed(core));
	core->put_off_ns -= 60 * NS_PER_S;
	assert_int_equal(visit_due(core), 0);
	assert_int_equal(extents_read(world), EXTENTS);
}

static void all_are_read_at_once(struct world *world)
{
	assert_int_equal(visit_due(&world->core), 0);
	assert_int_equal(extents_read(world), EXTENTS);
	assert_false(glimpses_are_owed(&world->core));
}

static void test_glimpse_is_not_taken_of_who_is_only_observed(void **state)
{
	struct world *world = *state;

	world->target->policy.mode = MODE_OBSERVE;
	all_are_read_at_once(world);
}

/* To ask all of that whether it has the like would take longer than to read. */
static void test_glimpse_is_not_taken_beside_very_much_that_is_known(void **state)
{
	struct world *world = *state;

	(void)made_target(&world->core, world->child.pid + 1, "web", EXTENTS * 16 + 1);
	world->core.registry.targets[1]->mapped = false;
	all_are_read_at_once(world);
}

static void test_glimpse_finds_what_another_vm_is_known_to_hold(void **state)
{
	struct world *world = *state;
	struct extent *extent = extent_of(world, OWN);
	struct target *other;

	assert_int_equal(visit_due(&world->core), 0);
	assert_int_equal(visit_due(&world->core), 0);
	other = made_target(&world->core, world->child.pid + 1, "web", 1);
	other->guest.map.extents[0].due_ns = UINT64_MAX;
	extent_prints_free(other->guest.map.extents[0].prints);
	other->guest.map.extents[0].prints = extent->prints;
	for (unsigned e = 0; e < EXTENTS; e++) {
		const struct extent *old = extent_of(world, e);

		if (e != OWN)
			extent_prints_free(old->prints);
		*extent_of(world, e) = (struct extent){ .start = old->start, .end = old->end };
	}
	assert_int_equal(visit_due(&world->core), 0);
	assert_int_equal(extent->pages_read, EXTENT_PAGES);
	assert_int_equal(extents_read(world), OWN + 1);
}

#define GLIMPSE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GLIMPSE_TEST(test_glimpse_has_what_has_twins_read_first),
		GLIMPSE_TEST(test_glimpse_puts_nothing_off_for_ever),
		GLIMPSE_TEST(test_glimpse_lets_what_was_found_go_before),
		GLIMPSE_TEST(test_glimpse_is_not_taken_of_who_is_only_observed),
		GLIMPSE_TEST(test_glimpse_is_not_taken_beside_very_much_that_is_known),
		GLIMPSE_TEST(test_glimpse_finds_what_another_vm_is_known_to_hold),
	};

	return cmocka_run_group_tests_name("glimpse", tests, NULL, NULL);
}
