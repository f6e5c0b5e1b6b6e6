// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/plan.h"

#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/planned_vms.h"

/* ---- what is worth it ---- */

static void test_plan_of_nothing_is_empty(void **state)
{
	struct vms *vms = *state;

	assert_int_equal(entries_of(vms), 0);
	(void)add_vm(vms, 0);
	(void)add_vm(vms, 2);
	extent_prints_free(vms->maps[1].extents[0].prints);
	vms->maps[1].extents[0].prints = NULL; /* never read */
	assert_int_equal(entries_of(vms), 0);
}

static void test_plan_folds_what_reaches_the_threshold(void **state)
{
	static const struct {
		enum policy_hugepages hugepages;
		bool huge;
		unsigned pages;
		bool folds;
	} cases[] = {
		{ HUGEPAGES_BALANCE, true, 63, false },
		{ HUGEPAGES_BALANCE, true, 64, true },
		{ HUGEPAGES_BALANCE, false, 15, false },
		{ HUGEPAGES_BALANCE, false, 16, true },
		{ HUGEPAGES_FOLD, true, 7, false },
		{ HUGEPAGES_FOLD, true, 8, true },
		{ HUGEPAGES_KEEP, true, 400, false },
		{ HUGEPAGES_FOLD, false, 7, false },
		{ HUGEPAGES_FOLD, false, 8, true },
		{ HUGEPAGES_KEEP, false, 8, true },
		{ HUGEPAGES_KEEP, false, 7, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vms vms = { .count = 0 };

		two_vms_sharing(&vms, cases[i].pages);
		for (size_t v = 0; v < 2; v++) {
			vms.vms[v].hugepages = cases[i].hugepages;
			extent_of(&vms, v, 0)->huge = cases[i].huge;
		}
		assert_int_equal(entries_of(&vms), cases[i].folds ? 2 : 0);
		extent_map_done(&vms.maps[0]);
		extent_map_done(&vms.maps[1]);
	}
}

static void test_plan_predicts_that_one_page_of_each_content_stays(void **state)
{
	struct vms *vms = *state;
	struct plan plan;

	two_vms_sharing(vms, 100);
	made_pages(extent_of(vms, 1, 0), 300, 20, 0);
	plan = make(vms);
	assert_int_equal(plan.fold_pages, 100 + 100 + 20);
	assert_int_equal(plan.saved_pages, 100 + 20);
	plan_done(&plan);
}

static void test_plan_predicts_no_less_where_folds_may_have_the_page_already(void **state)
{
	struct vms *vms = *state;
	struct plan plan;

	two_vms_sharing(vms, 100);
	extent_of(vms, 0, 0)->marked = true;
	extent_of(vms, 0, 0)->folded = 100;
	plan = make(vms);
	assert_int_equal(plan.fold_pages, 100);
	assert_int_equal(plan.saved_pages, 100);
	assert_int_equal(plan.saved_pages_least, 50);
	plan_done(&plan);
}

static void test_plan_entry_says_all_there_is_to_know(void **state)
{
	struct vms *vms = *state;
	struct plan plan;

	two_vms_sharing(vms, 100);
	made_pages(extent_of(vms, 1, 0), 300, 20, 0);
	plan = make(vms);
	assert_int_equal(plan.count, 2);
	assert_int_equal(plan.fold_pages, 100 + 120);
	assert_int_equal(plan.entries[1].action, PLAN_FOLD);
	assert_int_equal(plan.entries[1].vm, 1);
	assert_int_equal(plan.entries[1].extent, 0);
	assert_string_equal(plan_vm_name(&plan, &plan.entries[1]), "web2");
	assert_ptr_not_equal(plan_vm_name(&plan, &plan.entries[1]), vms->vms[1].name);
	assert_int_equal(plan.entries[1].pid, 101);
	assert_int_equal(plan.entries[1].start, MADE_BASE);
	assert_int_equal(plan.entries[1].length, EXTENT_BYTES);
	assert_int_equal(plan.entries[1].twins, 100);
	assert_int_equal(plan.entries[1].zeros, 20);
	assert_int_equal(plan.entries[1].gain, 120);
	assert_true(plan.entries[1].huge);
	assert_non_null(plan.entries[1].reason);
	plan_done(&plan);
	assert_null(plan.entries);
}

static void test_plan_zero_pages_are_a_gain_without_a_partner(void **state)
{
	struct vms *vms = *state;

	(void)add_vm(vms, 2);
	made_pages(extent_of(vms, 0, 0), 0, 64, 0);
	made_pages(extent_of(vms, 0, 1), 0, 63, 0);
	assert_int_equal(entries_of(vms), 1);
}

static void test_plan_twins_within_a_vm_are_partners(void **state)
{
	struct vms *vms = *state;

	(void)add_vm(vms, 3);
	made_pages(extent_of(vms, 0, 0), 0, 64, SHARED);
	made_pages(extent_of(vms, 0, 2), 448, 64, SHARED);
	assert_int_equal(entries_of(vms), 2);
}

static void test_plan_part_of_an_extent_needs_its_share(void **state)
{
	const struct ram_range half = { MADE_BASE, MADE_BASE + EXTENT_BYTES / 2, RAM_MERGEABLE };
	struct vms *vms = *state;
	struct extent *extent;

	(void)add_vm(vms, 1);
	assert_int_equal(extent_map_update(&vms->maps[0], &half, 1), 0);
	extent = extent_of(vms, 0, 0);
	extent->prints = extent_prints_new();
	extent->visits = 2;
	made_pages(extent, 0, 7, 0);
	assert_int_equal(entries_of(vms), 0);
	made_pages(extent, 0, 8, 0);
	assert_int_equal(entries_of(vms), 1);
}

/* ---- partners ---- */

static void test_plan_drops_what_has_lost_its_partners(void **state)
{
	struct vms *vms = *state;

	/* The twins of the first lie seven in each of ten extents that are not worth it. */
	(void)add_vm(vms, 1);
	(void)add_vm(vms, 10);
	made_pages(extent_of(vms, 0, 0), 0, 70, SHARED);
	for (unsigned i = 0; i < 10; i++)
		made_pages(extent_of(vms, 1, i), 0, 7, SHARED + i * 7);
	assert_int_equal(extent_of(vms, 0, 0)->pages_read, 70);
	assert_int_equal(entries_of(vms), 0);
	/* The counts of the census are not touched by it. */
	assert_int_equal(extent_of(vms, 0, 0)->twins, 70);
}

static void test_plan_marked_extents_stay_partners(void **state)
{
	struct vms *vms = *state;

	(void)add_vm(vms, 1);
	(void)add_vm(vms, 10);
	made_pages(extent_of(vms, 0, 0), 0, 70, SHARED);
	for (unsigned i = 0; i < 10; i++) {
		made_pages(extent_of(vms, 1, i), 0, 7, SHARED + i * 7);
		extent_of(vms, 1, i)->marked = true;
	}
	assert_int_equal(entries_of(vms), 1);
}

static void test_plan_vm_that_does_not_fold_is_no_partner(void **state)
{
	struct vms *vms = *state;

	two_vms_sharing(vms, 200);
	vms->vms[1].fold = false;
	assert_int_equal(entries_of(vms), 0);
	/* Not even with what it has marked: it is of another group. */
	extent_of(vms, 1, 0)->marked = true;
	assert_int_equal(entries_of(vms), 0);
}

static void test_plan_leaves_nothing_behind(void **state)
{
	struct vms *vms = *state;
	struct extent_prints before;
	struct plan plan;

	two_vms_sharing(vms, 200);
	vms->vms[1].fold = false;
	assert_int_equal(entries_of(vms), 0);
	before = *extent_of(vms, 0, 0)->prints;
	assert_int_equal(extent_prints_tally(&before).twins, 200);
	/* Its partner may be folded now; nothing has been counted since. */
	vms->vms[1].fold = true;
	assert_int_equal(plan_make(vms->vms, vms->count, 0, &plan), 0);
	assert_int_equal(plan.count, 2);
	assert_memory_equal(extent_of(vms, 0, 0)->prints, &before, sizeof(before));
	plan_done(&plan);
}

static void test_plan_drops_in_a_chain(void **state)
{
	struct vms *vms = *state;

	/* Each lives on 32 pages of either neighbour, those at the ends on zero pages as well. */
	(void)add_vm(vms, 6);
	for (unsigned i = 0; i < 6; i++)
		made_pages(extent_of(vms, 0, i), 0, 64, SHARED + i * 32);
	for (unsigned page = 32; page < 64; page++)
		extent_prints_set(extent_of(vms, 0, 5)->prints, page, 1000000 + page);
	made_pages(extent_of(vms, 0, 5), 100, 32, 0);
	made_pages(extent_of(vms, 0, 0), 100, 31, 0);
	for (unsigned page = 0; page < 32; page++)
		extent_prints_set(extent_of(vms, 0, 0)->prints, page, 2000000 + page);
	assert_int_equal(entries_of(vms), 0);
	made_pages(extent_of(vms, 0, 0), 131, 1, 0);
	assert_int_equal(entries_of(vms), 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAN_TEST(test_plan_of_nothing_is_empty),
		cmocka_unit_test(test_plan_folds_what_reaches_the_threshold),
		PLAN_TEST(test_plan_predicts_that_one_page_of_each_content_stays),
		PLAN_TEST(test_plan_predicts_no_less_where_folds_may_have_the_page_already),
		PLAN_TEST(test_plan_entry_says_all_there_is_to_know),
		PLAN_TEST(test_plan_zero_pages_are_a_gain_without_a_partner),
		PLAN_TEST(test_plan_twins_within_a_vm_are_partners),
		PLAN_TEST(test_plan_part_of_an_extent_needs_its_share),
		PLAN_TEST(test_plan_drops_what_has_lost_its_partners),
		PLAN_TEST(test_plan_marked_extents_stay_partners),
		PLAN_TEST(test_plan_vm_that_does_not_fold_is_no_partner),
		PLAN_TEST(test_plan_leaves_nothing_behind),
		PLAN_TEST(test_plan_drops_in_a_chain),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
