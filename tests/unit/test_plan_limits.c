// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/plan.h"

#include <string.h>

#include "common/cleanup.h"
#include "daemon/fold.h"
#include "tests/unit/planned_vms.h"

/* ---- not yet ---- */

static void test_plan_reads_a_second_time_before_it_folds(void **state)
{
	struct vms *vms = *state;
	struct plan plan;

	two_vms_sharing(vms, 100);
	extent_of(vms, 0, 0)->visits = extent_of(vms, 1, 0)->visits = 1;
	plan = make(vms);
	assert_int_equal(plan.count, 2);
	assert_int_equal(plan.entries[0].action, PLAN_REVISIT);
	assert_int_equal(plan.entries[1].action, PLAN_REVISIT);
	assert_int_equal(plan.fold_pages, 0);
	plan_done(&plan);
}

static void test_plan_does_not_fold_what_keeps_changing(void **state)
{
	struct vms *vms = *state;
	struct plan plan;

	for (size_t i = 0; i < 3; i++) {
		(void)add_vm(vms, 1);
		made_pages(extent_of(vms, i, 0), 0, 100, SHARED);
	}
	extent_of(vms, 0, 0)->changed = 36; /* 64 are left */
	extent_of(vms, 1, 0)->changed = 37;
	plan = make(vms);
	assert_int_equal(plan.count, 3);
	assert_int_equal(plan.entries[0].action, PLAN_FOLD);
	assert_int_equal(plan.entries[1].action, PLAN_REVISIT);
	assert_int_equal(plan.entries[2].action, PLAN_FOLD);
	plan_done(&plan);
}

/* ---- not without the other ---- */

/* By turns each of the two would be marked alone, and then left alone because nothing came of it.
 */
static void test_plan_marks_neither_of_two_before_both_are_ready(void **state)
{
	struct vms *vms = *state;
	struct plan plan;

	two_vms_sharing(vms, 100);
	payoff_disappointed(extent_of(vms, 0, 0), 1000);
	plan = make_in_pass(vms, 1001);
	assert_int_equal(plan.count, 1);
	assert_int_equal(plan.entries[0].vm, 1);
	assert_int_equal(plan.entries[0].action, PLAN_WAIT);
	assert_int_equal(plan.entries[0].gain, 100);
	assert_int_equal(plan.fold_pages, 0);
	plan_done(&plan);
	plan = make_in_pass(vms, 1002);
	assert_int_equal(plan.count, 2);
	assert_int_equal(plan.fold_pages, 200);
	plan_done(&plan);
}

static void test_plan_folds_those_that_are_ready_with_each_other(void **state)
{
	struct vms *vms = *state;
	struct plan plan;

	for (size_t i = 0; i < 3; i++) {
		(void)add_vm(vms, 1);
		made_pages(extent_of(vms, i, 0), 0, 100, SHARED);
	}
	/* That only these two have, of which one was read once. */
	made_pages(extent_of(vms, 1, 0), 200, 50, SHARED + 500);
	made_pages(extent_of(vms, 2, 0), 300, 50, SHARED + 500);
	extent_of(vms, 2, 0)->visits = 1;
	plan = make(vms);
	assert_int_equal(plan.count, 3);
	assert_int_equal(plan.entries[1].action, PLAN_FOLD);
	assert_int_equal(plan.entries[1].twins, 150);
	assert_int_equal(plan.entries[1].gain, 100);
	assert_int_equal(plan.entries[2].action, PLAN_REVISIT);
	assert_int_equal(plan.fold_pages, 200);
	assert_int_equal(plan.saved_pages, 100);
	plan_done(&plan);
}

static void test_plan_folds_zero_pages_whoever_else_is_ready(void **state)
{
	struct vms *vms = *state;
	struct plan plan;

	two_vms_sharing(vms, 100);
	made_pages(extent_of(vms, 1, 0), 300, 80, 0);
	extent_of(vms, 0, 0)->visits = 1;
	plan = make(vms);
	assert_int_equal(plan.entries[1].action, PLAN_FOLD);
	assert_int_equal(plan.entries[1].gain, 80);
	plan_done(&plan);
}

static void test_plan_folds_with_what_is_marked_already(void **state)
{
	struct vms *vms = *state;
	struct plan plan;

	two_vms_sharing(vms, 100);
	extent_of(vms, 0, 0)->marked = true;
	payoff_disappointed(extent_of(vms, 0, 0), 1);
	plan = make(vms);
	assert_int_equal(plan.count, 1);
	assert_int_equal(plan.entries[0].vm, 1);
	assert_int_equal(plan.entries[0].action, PLAN_FOLD);
	plan_done(&plan);
}

/* Not by passes of a round number: with most passes resting, those that make a plan might never have one. */
static void test_plan_leaves_disappointments_out_for_ever_more_passes(void **state)
{
	struct vms *vms = *state;
	const uint64_t waits[] = { 2, 4, 8, 16, 32, 64, 64 };
	struct extent *extent;
	uint64_t pass = 1001;

	two_vms_sharing(vms, 100);
	extent = extent_of(vms, 0, 0);
	for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
		struct plan plan;

		extent->promised = 100;
		fold_judge(extent, pass);
		plan = make_in_pass(vms, pass + waits[i] - 1);
		assert_int_equal(plan.count, 1);
		plan_done(&plan);
		pass += waits[i];
		plan = make_in_pass(vms, pass);
		assert_int_equal(plan.count, 2);
		plan_done(&plan);
	}
	extent->promised = 0; /* it kept its promise */
	fold_judge(extent, pass);
	assert_int_equal(extent->disappointed, 0);
}

static void test_plan_pages_that_are_folded_already_are_no_gain(void **state)
{
	struct vms *vms = *state;
	struct plan plan;

	two_vms_sharing(vms, 100);
	for (size_t i = 0; i < 2; i++)
		extent_of(vms, i, 0)->marked = true;
	extent_of(vms, 0, 0)->folded = 100;
	extent_of(vms, 1, 0)->folded = 36;
	plan = make(vms);
	assert_int_equal(plan.count, 1);
	assert_int_equal(plan.entries[0].vm, 1);
	assert_int_equal(plan.entries[0].gain, 64);
	assert_false(plan.entries[0].huge); /* it was lost before */
	plan_done(&plan);
	extent_of(vms, 1, 0)->folded = 300;
	assert_int_equal(entries_of(vms), 0);
}

/* ---- limits ---- */

static void test_plan_keeps_within_the_room_for_mappings(void **state)
{
	struct vms *vms = *state;

	(void)add_vm(vms, 6);
	for (size_t i = 0; i < 6; i++)
		made_pages(extent_of(vms, 0, i), 0, 100, 0);
	for (uint64_t room = 0; room < 14; room++) {
		vms->vms[0].vma_room = room;
		assert_int_equal(entries_of(vms), room / 2 < 6 ? room / 2 : 6);
	}
	/* What is marked needs no more. */
	vms->vms[0].vma_room = 1;
	extent_of(vms, 0, 1)->marked = extent_of(vms, 0, 4)->marked = true;
	assert_int_equal(entries_of(vms), 2);
}

static void test_plan_gives_the_room_for_mappings_to_the_best(void **state)
{
	static const unsigned pages[] = { 100, 300, 100, 200, 512, 100 };
	struct vms *vms = *state;
	struct plan plan;

	(void)add_vm(vms, ARRAY_SIZE(pages));
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		made_pages(extent_of(vms, 0, i), 0, pages[i], 0);
	vms->vms[0].vma_room = 4 * PLAN_VMAS_PER_EXTENT + 1;
	plan = make(vms);
	assert_int_equal(plan.count, 4);
	assert_int_equal(plan.entries[0].extent, 0);
	assert_int_equal(plan.entries[1].extent, 1);
	assert_int_equal(plan.entries[2].extent, 3);
	assert_int_equal(plan.entries[3].extent, 4);
	assert_int_equal(plan.fold_pages, 100 + 300 + 200 + 512);
	plan_done(&plan);
}

/* ---- release ---- */

static void test_plan_releases_what_is_marked_and_nothing_else(void **state)
{
	struct vms *vms = *state;
	struct plan plan;

	two_vms_sharing(vms, 100);
	(void)add_vm(vms, 3);
	vms->vms[2].fold = false;
	vms->vms[2].release = true;
	vms->vms[2].vma_room = 0;
	extent_of(vms, 2, 1)->marked = true;
	extent_prints_free(extent_of(vms, 2, 2)->prints);
	extent_of(vms, 2, 2)->prints = NULL;
	extent_of(vms, 2, 2)->marked = true;
	plan = make(vms);
	assert_int_equal(plan.count, 4);
	for (size_t i = 2; i < 4; i++) {
		assert_int_equal(plan.entries[i].action, PLAN_RELEASE);
		assert_int_equal(plan.entries[i].vm, 2);
		assert_int_equal(plan.entries[i].extent, i - 1);
	}
	assert_int_equal(plan.fold_pages, 200);
	plan_done(&plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAN_TEST(test_plan_reads_a_second_time_before_it_folds),
		PLAN_TEST(test_plan_does_not_fold_what_keeps_changing),
		PLAN_TEST(test_plan_marks_neither_of_two_before_both_are_ready),
		PLAN_TEST(test_plan_folds_those_that_are_ready_with_each_other),
		PLAN_TEST(test_plan_folds_zero_pages_whoever_else_is_ready),
		PLAN_TEST(test_plan_folds_with_what_is_marked_already),
		PLAN_TEST(test_plan_leaves_disappointments_out_for_ever_more_passes),
		PLAN_TEST(test_plan_pages_that_are_folded_already_are_no_gain),
		PLAN_TEST(test_plan_keeps_within_the_room_for_mappings),
		PLAN_TEST(test_plan_gives_the_room_for_mappings_to_the_best),
		PLAN_TEST(test_plan_releases_what_is_marked_and_nothing_else),
	};

	return cmocka_run_group_tests_name("plan_limits", tests, NULL, NULL);
}
