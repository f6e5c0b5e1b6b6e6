// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/plan.h"

#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/planned_vms.h"

/* ---- plans as values ---- */

static void test_plan_copy_is_one_of_its_own(void **state)
{
	struct vms *vms = *state;
	struct plan plan, copy;

	two_vms_sharing(vms, 100);
	plan = make(vms);
	assert_int_equal(plan_copy(&plan, &copy), 0);
	assert_int_equal(copy.count, plan.count);
	assert_int_equal(copy.fold_pages, plan.fold_pages);
	assert_ptr_not_equal(copy.entries, plan.entries);
	plan_done(&plan);
	assert_string_equal(plan_vm_name(&copy, &copy.entries[1]), "web2");
	plan_done(&copy);
	assert_int_equal(plan_copy(&plan, &copy), 0);
	assert_int_equal(copy.count, 0);
	plan_done(&copy);
}

static void test_plan_folds_that_were_carried_out_are_dropped(void **state)
{
	struct plan plan = make_with_a_revisit(*state);

	plan_drop_folds(&plan);
	assert_int_equal(plan.count, 1);
	assert_int_equal(plan.entries[0].action, PLAN_REVISIT);
	assert_int_equal(plan.fold_pages, 0);
	plan_drop_folds(&plan);
	assert_int_equal(plan.count, 1);
	plan_done(&plan);
}

static void test_plan_that_is_held_back_says_what_it_would_fold(void **state)
{
	static const char reason[] = "waits for a test";
	struct plan plan = make_with_a_revisit(*state);

	plan_hold_folds(&plan, reason);
	assert_int_equal(plan.count, 3);
	assert_int_equal(plan.entries[2].action, PLAN_REVISIT);
	assert_int_equal(plan.entries[1].action, PLAN_WAIT);
	assert_ptr_equal(plan.entries[1].reason, reason);
	assert_int_equal(plan.entries[1].gain, 100);
	assert_int_equal(plan.fold_pages, 0);
	assert_int_equal(plan.saved_pages, 0);
	plan_drop_folds(&plan);
	assert_int_equal(plan.count, 3);
	plan_done(&plan);
}

static void test_plan_expects_of_each_vm_its_part(void **state)
{
	struct vms *vms = *state;
	struct plan plan;

	/* 100 twins that two share, and 20 that the second has twice besides: it saves 20 of those, and half of
	 * each that it shares. */
	two_vms_sharing(vms, 100);
	made_pages(extent_of(vms, 1, 0), 300, 20, 900);
	made_pages(extent_of(vms, 1, 0), 400, 20, 900);
	plan = make(vms);
	assert_float_equal(plan_expected_pages(&plan, vms->vms[0].pid), 50, 1e-9);
	assert_float_equal(plan_expected_pages(&plan, vms->vms[1].pid), 50 + 20, 1e-9);
	assert_int_equal(plan.saved_pages, 120);
	assert_float_equal(plan_expected_pages(&plan, 4711), 0, 1e-9);
	plan_done(&plan);
}

static void test_plan_actions_have_names(void **state)
{
	(void)state;
	assert_string_equal(plan_action_name(PLAN_FOLD), "fold");
	assert_string_equal(plan_action_name(PLAN_REVISIT), "revisit");
	assert_string_equal(plan_action_name(PLAN_RELEASE), "release");
	assert_string_equal(plan_action_name(PLAN_WAIT), "wait");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAN_TEST(test_plan_copy_is_one_of_its_own),
		PLAN_TEST(test_plan_folds_that_were_carried_out_are_dropped),
		PLAN_TEST(test_plan_that_is_held_back_says_what_it_would_fold),
		PLAN_TEST(test_plan_expects_of_each_vm_its_part),
		cmocka_unit_test(test_plan_actions_have_names),
	};

	return cmocka_run_group_tests_name("plan_values", tests, NULL, NULL);
}
