// SPDX-License-Identifier: GPL-2.0-or-later
/* What was folded and does not pay any more. */
#include "daemon/plan.h"

#include <string.h>

#include "common/cleanup.h"
#include "daemon/draft.h"
#include "tests/unit/made_memory.h"

static struct extent_map maps[2];
static struct plan_vm vms[2];

/* Two VMs that share 100 pages in the first of their two extents, and have those folded. */
static int setup(void **state)
{
	struct extent_map *const counted[] = { &maps[0], &maps[1] };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct extent *extent;

		made_map_init(&maps[i], 2);
		extent = &maps[i].extents[0];
		made_pages(extent, 0, 100, 1000);
		extent->marked = extent->was_huge = true;
		extent->huge = false;
		extent->folded = 100;
		vms[i] = (struct plan_vm){
			.name = "vm",
			.pid = (pid_t)(100 + i),
			.map = &maps[i],
			.fold = true,
			.hugepages = HUGEPAGES_BALANCE,
			.vma_room = 1000,
		};
	}
	made_count(counted, 2);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	extent_map_done(&maps[0]);
	extent_map_done(&maps[1]);
	return 0;
}

static struct extent *first(size_t vm)
{
	return &maps[vm].extents[0];
}

static void look(struct extent *extent, unsigned times)
{
	while (times--)
		payoff_look(extent, draft_least(HUGEPAGES_BALANCE, extent), 1);
}

/* It folds so many pages at the last looks, and shows no more twins than those. */
static void lapse(struct extent *extent, uint16_t folded)
{
	extent->folded = extent->twins = folded;
	look(extent, PAYOFF_LOOKS_LEAST);
}

static struct plan make(uint64_t pass)
{
	struct plan plan;

	assert_int_equal(plan_make(vms, 2, pass, &plan), 0);
	return plan;
}

/* NULL: it is not to be released; else why. */
static const char *reason_of(size_t vm)
{
	struct plan plan = make(0);
	const char *reason = NULL;

	for (size_t i = 0; i < plan.count; i++)
		if (plan.entries[i].action == PLAN_RELEASE && plan.entries[i].vm == vm)
			reason = plan.entries[i].reason;
	plan_done(&plan);
	return reason;
}

static void test_plan_keeps_what_pays(void **state)
{
	(void)state;
	lapse(first(0), 100);
	lapse(first(1), 32);
	assert_null(reason_of(0));
	assert_null(reason_of(1));
}

static void test_plan_releases_what_is_worth_less_than_its_huge_page(void **state)
{
	(void)state;
	lapse(first(0), 31);
	assert_non_null(strstr(reason_of(0), "its huge page is worth more"));
	assert_null(reason_of(1));
}

static void test_plan_asks_less_of_what_was_not_huge(void **state)
{
	(void)state;
	first(0)->was_huge = false;
	lapse(first(0), 8);
	assert_null(reason_of(0));
	lapse(first(0), 7);
	assert_non_null(strstr(reason_of(0), "to be worth a mark"));
}

static void test_plan_asks_least_where_memory_comes_first(void **state)
{
	(void)state;
	assert_int_equal(draft_least(HUGEPAGES_FOLD, first(0)), 4);
	assert_int_equal(draft_least(HUGEPAGES_KEEP, first(0)), 28);
	assert_int_equal(draft_least(HUGEPAGES_BALANCE, first(0)), 32);
}

/* Half of the price to stay, all of it to come (back): what lies between is left as it is. */
static void test_plan_folds_and_releases_at_different_prices(void **state)
{
	(void)state;
	for (int hugepages = HUGEPAGES_KEEP; hugepages <= HUGEPAGES_FOLD; hugepages++)
		assert_true(2 * draft_least((enum policy_hugepages)hugepages, first(0)) <=
			    draft_price((enum policy_hugepages)hugepages, first(0)));
}

static void test_plan_releases_what_breaks_as_fast_as_it_is_folded(void **state)
{
	(void)state;
	first(0)->breaks = 801;
	look(first(0), PAYOFF_LOOKS_LEAST);
	assert_non_null(strstr(reason_of(0), "break as fast"));
}

static void test_plan_folds_again_rather_than_to_release(void **state)
{
	struct plan plan;

	(void)state;
	first(0)->folded = 0;
	look(first(0), PAYOFF_LOOKS_LEAST); /* but all of its twins are still there */
	plan = make(1);
	assert_int_equal(plan.count, 1);
	assert_int_equal(plan.entries[0].action, PLAN_FOLD);
	plan_done(&plan);
}

static void test_plan_does_not_count_on_what_is_about_to_go(void **state)
{
	struct plan plan;

	(void)state;
	lapse(first(0), 10);
	first(1)->marked = first(1)->was_huge = false;
	first(1)->folded = 0;
	plan = make(1);
	assert_int_equal(
		plan.count, 1); /* no fold for the partner of pages that are released now */
	assert_int_equal(plan.entries[0].action, PLAN_RELEASE);
	plan_done(&plan);
}

static void test_plan_leaves_a_release_alone_for_some_passes(void **state)
{
	unsigned folds = 0;

	(void)state;
	first(0)->folded = 0;
	look(first(0), PAYOFF_LOOKS_LEAST);
	payoff_released(first(0), 0);
	extent_unmark(first(0));
	for (uint64_t pass = 0; pass < 64; pass++) {
		struct plan plan = make(pass);

		for (size_t i = 0; i < plan.count; i++)
			folds += plan.entries[i].vm == 0;
		plan_done(&plan);
	}
	assert_int_equal(folds, 64 - 16);
}

static void test_plan_keeps_what_is_only_observed_or_marked_as_a_whole(void **state)
{
	(void)state;
	lapse(first(0), 0);
	vms[0].fold = false;
	assert_null(reason_of(0));
	vms[0].fold = vms[0].whole = true;
	assert_null(reason_of(0));
}

static void test_plan_says_why_a_vm_is_released(void **state)
{
	(void)state;
	vms[0].fold = false;
	vms[0].release = true;
	assert_string_equal(reason_of(0), "its memory is to be private again");
	vms[0].why = "folding it costs more than it gives";
	assert_string_equal(reason_of(0), vms[0].why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define RELEASE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		RELEASE_TEST(test_plan_keeps_what_pays),
		RELEASE_TEST(test_plan_releases_what_is_worth_less_than_its_huge_page),
		RELEASE_TEST(test_plan_asks_less_of_what_was_not_huge),
		RELEASE_TEST(test_plan_asks_least_where_memory_comes_first),
		RELEASE_TEST(test_plan_folds_and_releases_at_different_prices),
		RELEASE_TEST(test_plan_releases_what_breaks_as_fast_as_it_is_folded),
		RELEASE_TEST(test_plan_folds_again_rather_than_to_release),
		RELEASE_TEST(test_plan_does_not_count_on_what_is_about_to_go),
		RELEASE_TEST(test_plan_leaves_a_release_alone_for_some_passes),
		RELEASE_TEST(test_plan_keeps_what_is_only_observed_or_marked_as_a_whole),
		RELEASE_TEST(test_plan_says_why_a_vm_is_released),
	};

	return cmocka_run_group_tests_name("plan_release", tests, NULL, NULL);
}
