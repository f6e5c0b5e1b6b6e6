// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/plan.h"

#include "common/cleanup.h"
#include "tests/unit/planned_vms.h"

/* ---- all or nothing ---- */

/* Two VMs of eight extents, so many of which have twins in the other. */
static void two_whole_vms(struct vms *vms, size_t sharing)
{
	for (size_t v = 0; v < 2; v++) {
		add_vm(vms, 8)->whole = true;
		for (size_t e = 0; e < 8; e++)
			made_pages(extent_of(vms, v, e), 0, 100,
				e < sharing ? SHARED + (unsigned)e * 512
					    : (unsigned)(100000 + v * 10000 + e * 512));
	}
}

static size_t folds_of(struct vms *vms)
{
	struct plan plan = make(vms);
	size_t folds = 0;

	for (size_t i = 0; i < plan.count; i++)
		folds += plan.entries[i].action == PLAN_FOLD;
	plan_done(&plan);
	return folds;
}

static void test_plan_of_a_whole_takes_all_or_none(void **state)
{
	static const size_t cases[][2] = { { 0, 0 }, { 1, 0 }, { 2, 16 }, { 8, 16 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vms *vms;

		(void)state;
		assert_int_equal(setup((void **)&vms), 0);
		two_whole_vms(vms, cases[i][0]);
		assert_int_equal(folds_of(vms), cases[i][1]);
		(void)teardown((void **)&vms);
	}
}

static void test_plan_of_a_whole_with_memory_first_needs_one_extent_only(void **state)
{
	struct vms *vms = *state;

	two_whole_vms(vms, 1);
	vms->vms[0].hugepages = vms->vms[1].hugepages = HUGEPAGES_FOLD;
	assert_int_equal(folds_of(vms), 16);
}

static void test_plan_of_a_whole_never_breaks_a_huge_page_that_is_to_be_kept(void **state)
{
	struct vms *vms = *state;

	two_whole_vms(vms, 8);
	vms->vms[0].hugepages = HUGEPAGES_KEEP;
	for (size_t e = 0; e < 7; e++)
		extent_of(vms, 0, e)->huge = false;
	assert_int_equal(folds_of(vms), 0);
	extent_of(vms, 0, 7)->huge = false;
	assert_int_equal(folds_of(vms), 16);
}

static void test_plan_of_a_whole_leaves_out_what_is_out_of_reach(void **state)
{
	struct vms *vms = *state;

	two_whole_vms(vms, 8);
	extent_of(vms, 0, 0)->out_of_reach = true;
	assert_int_equal(folds_of(vms), 15);
}

static void test_plan_of_a_whole_waits_until_enough_was_read_twice(void **state)
{
	struct vms *vms = *state;

	two_whole_vms(vms, 8);
	for (size_t e = 0; e < 7; e++)
		extent_of(vms, 0, e)->visits = 1;
	assert_int_equal(
		folds_of(vms), 0); /* nor of the other one: what it shares is with this one */
	extent_of(vms, 0, 6)->visits = 2;
	assert_int_equal(folds_of(vms), 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAN_TEST(test_plan_of_a_whole_takes_all_or_none),
		PLAN_TEST(test_plan_of_a_whole_with_memory_first_needs_one_extent_only),
		PLAN_TEST(test_plan_of_a_whole_never_breaks_a_huge_page_that_is_to_be_kept),
		PLAN_TEST(test_plan_of_a_whole_leaves_out_what_is_out_of_reach),
		PLAN_TEST(test_plan_of_a_whole_waits_until_enough_was_read_twice),
	};

	return cmocka_run_group_tests_name("plan_whole", tests, NULL, NULL);
}
