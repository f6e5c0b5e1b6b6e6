// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/estimate.h"

#include <errno.h>

#include "hypervisor-glue/guest_ram.h"
#include "tests/unit/fake_host.h"

#define CHILDREN 3
#define PAGES    64u

struct world {
	struct fake_root fake;
	struct reserved_memory memory;
	struct child children[CHILDREN];
	struct estimate_options options;
	pid_t pids[CHILDREN];
};

/* Pages 0-9 zero, 10-29 of one content, 30-39 a run that all have, 40-49 of each child its own. */
static void child_memory(void *argument, char step)
{
	uint64_t *memory;

	if (step)
		return;
	memory = (uint64_t *)(void *)reserved_map(argument, 0, RESERVED_EXTENT, MADV_NOHUGEPAGE);
	for (uint64_t page = 0; page < 50; page++)
		memory[page * 512] = page < 10 ? 0 : page < 30 ? 1 : page < 40
			? page
			: page << 32 | (uint64_t)getpid();
}

static int compare_children(const void *a, const void *b)
{
	return ((const struct child *)a)->pid - ((const struct child *)b)->pid;
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct fake_vma vma;

	(void)alarm(60);
	fake_host_init(&world->fake);
	reserved_memory_init(&world->memory, RESERVED_EXTENT);
	vma = fake_vma_of(&world->memory, 0, RESERVED_EXTENT, "rd wr hg");
	for (size_t i = 0; i < CHILDREN; i++)
		child_start(&world->children[i], child_memory, &world->memory);
	qsort(world->children, CHILDREN, sizeof(world->children[0]), compare_children);
	for (size_t i = 0; i < CHILDREN; i++) {
		world->pids[i] = world->children[i].pid;
		fake_host_add_qemu(&world->fake, world->pids[i], "web");
		fake_host_map(&world->fake, world->pids[i], &vma, 1);
	}
	world->options = (struct estimate_options){
		.root = &world->fake.root,
		.pids = world->pids,
		.pid_count = CHILDREN,
		.allow_pagemap_scan = true,
	};
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	for (size_t i = 0; i < CHILDREN; i++)
		child_stop(&world->children[i]);
	reserved_memory_done(&world->memory);
	fake_root_done(&world->fake);
	free(world);
	(void)alarm(0);
	return 0;
}

static struct estimate_report run(const struct world *world)
{
	struct estimate_report report;
	char *error;

	assert_int_equal(estimate_run(&world->options, &report, &error), 0);
	assert_null(error);
	return report;
}

static void assert_all_three(const struct estimate_report *report)
{
	assert_int_equal(report->vm_count, 3);
	assert_int_equal(report->total.pages, 3 * 50);
	assert_int_equal(report->total.zero_pages, 3 * 10);
	assert_int_equal(report->total.duplicate_pages, 3 * 30);
	assert_int_equal(report->total.distinct_contents, 1 + 10);
	assert_int_equal(report->total.self_bytes, 3 * 19 * 4096);
	assert_int_equal(report->total.cross_bytes, 2 * 11 * 4096);
	/* Eleven contents, of each 8192 bytes among three: 2 are left over for the lowest pid. */
	assert_int_equal(report->vms[0].sums.cross_bytes, 11 * 2732);
	assert_int_equal(report->vms[1].sums.cross_bytes, 11 * 2730);
	assert_int_equal(report->vms[2].sums.cross_bytes, 11 * 2730);
}

static void test_estimate_counts_what_was_laid_out(void **state)
{
	const struct world *world = *state;
	struct estimate_report report = run(world);

	assert_all_three(&report);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(report.vms[i].pid, world->pids[i]);
		assert_string_equal(report.vms[i].name, "web");
		assert_true(report.vms[i].is_vm);
		assert_null(report.vms[i].note);
	}
	estimate_report_done(&report);
	estimate_report_done(&report);
}

static void test_estimate_does_not_depend_on_how_it_is_computed(void **state)
{
	struct world *world = *state;

	for (int scan = 0; scan < 2; scan++) {
		for (size_t bytes = 1; bytes < 1 << 20; bytes *= 32) {
			struct estimate_report report;

			world->options.allow_pagemap_scan = scan;
			world->options.partition_bytes = bytes;
			report = run(world);
			assert_all_three(&report);
			estimate_report_done(&report);
		}
	}
}

static void test_estimate_of_pids_in_any_order_and_twice(void **state)
{
	struct world *world = *state;
	const pid_t pids[] = { world->pids[2], world->pids[0], world->pids[2], world->pids[1],
		world->pids[0] };
	struct estimate_report report;

	world->options.pids = pids;
	world->options.pid_count = ARRAY_SIZE(pids);
	report = run(world);
	assert_all_three(&report);
	estimate_report_done(&report);
}

static void test_estimate_of_nobody_in_particular_is_of_every_vm(void **state)
{
	struct world *world = *state;
	struct estimate_report report;

	world->options.pid_count = 0;
	report = run(world);
	assert_all_three(&report);
	estimate_report_done(&report);
	/* One that ends is left out. */
	child_kill(&world->children[1]);
	report = run(world);
	assert_int_equal(report.vm_count, 2);
	estimate_report_done(&report);
	for (size_t i = 0; i < CHILDREN; i++)
		fake_host_remove(&world->fake, world->pids[i]);
	report = run(world);
	assert_int_equal(report.vm_count, 0);
	assert_int_equal(report.total.pages, 0);
	estimate_report_done(&report);
}

static void test_estimate_of_one_that_has_ended_is_an_error(void **state)
{
	struct world *world = *state;
	struct estimate_report report;
	char *error, says[64];

	child_kill(&world->children[2]);
	assert_int_equal(estimate_run(&world->options, &report, &error), -ESRCH);
	(void)snprintf(says, sizeof(says), "process %d: not running", (int)world->pids[2]);
	assert_non_null(strstr(error, says));
	free(error);
}

static void test_estimate_of_hostile_text_is_an_error(void **state)
{
	struct world *world = *state;
	struct estimate_report report;
	char *error;

	fake_root_write(&world->fake, fake_host_path(world->pids[1], "smaps"), "hostile");
	assert_int_equal(estimate_run(&world->options, &report, &error), -EINVAL);
	assert_non_null(error);
	free(error);
}

static void test_estimate_notes_what_can_never_merge(void **state)
{
	struct world *world = *state;
	const struct fake_vma vmas[] = {
		fake_vma_of(&world->memory, 0, PAGES * RESERVED_PAGE, "rd wr hg"),
		fake_vma_of(&world->memory, RESERVED_EXTENT / 2, RESERVED_EXTENT / 2,
			"rd wr hg um"),
	};
	struct estimate_report report;

	fake_host_map(&world->fake, world->pids[0], vmas, ARRAY_SIZE(vmas));
	report = run(world);
	assert_non_null(report.vms[0].note);
	assert_non_null(strstr(report.vms[0].note, ram_verdict_text(RAM_UFFD)));
	assert_null(report.vms[1].note);
	assert_int_equal(report.vms[0].sums.pages, 50);
	estimate_report_done(&report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define ESTIMATE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		ESTIMATE_TEST(test_estimate_counts_what_was_laid_out),
		ESTIMATE_TEST(test_estimate_does_not_depend_on_how_it_is_computed),
		ESTIMATE_TEST(test_estimate_of_pids_in_any_order_and_twice),
		ESTIMATE_TEST(test_estimate_of_nobody_in_particular_is_of_every_vm),
		ESTIMATE_TEST(test_estimate_of_one_that_has_ended_is_an_error),
		ESTIMATE_TEST(test_estimate_of_hostile_text_is_an_error),
		ESTIMATE_TEST(test_estimate_notes_what_can_never_merge),
	};

	return cmocka_run_group_tests_name("estimate", tests, NULL, NULL);
}
