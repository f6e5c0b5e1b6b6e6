// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/fold.h"
#include "daemon/plan.h"

#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/made_memory.h"

/* What two extents share is content of this number and the ones that follow. */
#define SHARED 1000u

#define ROOM_ENOUGH 1000u

struct vms {
	struct extent_map maps[3];
	struct plan_vm vms[3];
	size_t count;
};

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct vms));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	struct vms *vms = *state;

	for (size_t i = 0; i < vms->count; i++)
		extent_map_done(&vms->maps[i]);
	free(vms);
	return 0;
}

static struct plan_vm *add_vm(struct vms *vms, size_t extents)
{
	static const char *const names[] = { "web1", "web2", "web3" };
	const size_t i = vms->count++;

	made_map_init(&vms->maps[i], extents);
	vms->vms[i] = (struct plan_vm){
		.name = names[i],
		.pid = (pid_t)(100 + i),
		.map = &vms->maps[i],
		.hugepages = HUGEPAGES_BALANCE,
		.fold = true,
		.vma_room = ROOM_ENOUGH,
	};
	return &vms->vms[i];
}

static struct extent *extent_of(struct vms *vms, size_t vm, size_t extent)
{
	return &vms->maps[vm].extents[extent];
}

static struct plan make_in_pass(struct vms *vms, uint64_t pass)
{
	struct extent_map *maps[3] = { &vms->maps[0], &vms->maps[1], &vms->maps[2] };
	struct plan plan;

	made_count(maps, vms->count);
	assert_int_equal(plan_make(vms->vms, vms->count, pass, &plan), 0);
	return plan;
}

static struct plan make(struct vms *vms)
{
	return make_in_pass(vms, 1);
}

/* How many entries; the plan is over with that. */
static size_t entries_of(struct vms *vms)
{
	struct plan plan = make(vms);
	const size_t count = plan.count;

	plan_done(&plan);
	return count;
}

/* Two VMs of one extent, with so many twins across. */
static void two_vms_sharing(struct vms *vms, unsigned pages)
{
	for (size_t i = 0; i < 2; i++) {
		(void)add_vm(vms, 1);
		made_pages(extent_of(vms, i, 0), (unsigned)(i * 100), pages, SHARED);
	}
}

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

/* ---- not yet ---- */

static void test_plan_reads_a_second_time_before_it_folds(void **state)
{
	struct vms *vms = *state;
	struct plan plan;

	two_vms_sharing(vms, 100);
	extent_of(vms, 0, 0)->visits = 1;
	plan = make(vms);
	assert_int_equal(plan.count, 2);
	assert_int_equal(plan.entries[0].action, PLAN_REVISIT);
	assert_int_equal(plan.entries[1].action, PLAN_FOLD);
	assert_int_equal(plan.fold_pages, 100);
	plan_done(&plan);
}

static void test_plan_does_not_fold_what_keeps_changing(void **state)
{
	struct vms *vms = *state;
	struct plan plan;

	two_vms_sharing(vms, 100);
	extent_of(vms, 0, 0)->changed = 36; /* 64 are left */
	extent_of(vms, 1, 0)->changed = 37;
	plan = make(vms);
	assert_int_equal(plan.count, 2);
	assert_int_equal(plan.entries[0].action, PLAN_FOLD);
	assert_int_equal(plan.entries[1].action, PLAN_REVISIT);
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
	struct vms *vms = *state;
	struct plan plan;

	two_vms_sharing(vms, 100);
	extent_of(vms, 0, 0)->visits = 1;
	plan = make(vms);
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
	struct vms *vms = *state;
	struct plan plan;

	two_vms_sharing(vms, 100);
	extent_of(vms, 0, 0)->visits = 1;
	plan = make(vms);
	plan_hold_folds(&plan, reason);
	assert_int_equal(plan.count, 2);
	assert_int_equal(plan.entries[0].action, PLAN_REVISIT);
	assert_int_equal(plan.entries[1].action, PLAN_WAIT);
	assert_ptr_equal(plan.entries[1].reason, reason);
	assert_int_equal(plan.entries[1].gain, 100);
	assert_int_equal(plan.fold_pages, 0);
	assert_int_equal(plan.saved_pages, 0);
	plan_drop_folds(&plan);
	assert_int_equal(plan.count, 2);
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
	assert_int_equal(folds_of(vms), 8); /* the other one's */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define PLAN_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
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
		PLAN_TEST(test_plan_reads_a_second_time_before_it_folds),
		PLAN_TEST(test_plan_does_not_fold_what_keeps_changing),
		PLAN_TEST(test_plan_leaves_disappointments_out_for_ever_more_passes),
		PLAN_TEST(test_plan_pages_that_are_folded_already_are_no_gain),
		PLAN_TEST(test_plan_keeps_within_the_room_for_mappings),
		PLAN_TEST(test_plan_gives_the_room_for_mappings_to_the_best),
		PLAN_TEST(test_plan_releases_what_is_marked_and_nothing_else),
		PLAN_TEST(test_plan_copy_is_one_of_its_own),
		PLAN_TEST(test_plan_folds_that_were_carried_out_are_dropped),
		PLAN_TEST(test_plan_that_is_held_back_says_what_it_would_fold),
		PLAN_TEST(test_plan_expects_of_each_vm_its_part),
		cmocka_unit_test(test_plan_actions_have_names),
		PLAN_TEST(test_plan_of_a_whole_takes_all_or_none),
		PLAN_TEST(test_plan_of_a_whole_with_memory_first_needs_one_extent_only),
		PLAN_TEST(test_plan_of_a_whole_never_breaks_a_huge_page_that_is_to_be_kept),
		PLAN_TEST(test_plan_of_a_whole_leaves_out_what_is_out_of_reach),
		PLAN_TEST(test_plan_of_a_whole_waits_until_enough_was_read_twice),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
