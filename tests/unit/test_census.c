// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/census.h"

#include "daemon/groups.h"
#include "tests/unit/made_core.h"

static struct core core;

static int teardown(void **state)
{
	(void)state;
	made_core_done(&core);
	return 0;
}

static struct extent *extent_of(struct target *target)
{
	return &target->guest.map.extents[0];
}

/* A VM with so many pages from content on. */
static struct target *add(pid_t pid, const char *group, unsigned pages, uint64_t content)
{
	struct target *target = made_target(&core, pid, group, 1);

	made_pages(extent_of(target), 0, pages, content);
	return target;
}

static void take(void)
{
	groups_follow_config(&core);
	core.index_stale = true;
	assert_int_equal(census_take(&core), 0);
	assert_false(core.index_stale);
}

static void test_census_of_nobody_is_taken(void **state)
{
	(void)state;
	take();
	assert_string_equal(core.active_group, "");
}

static void test_census_counts_twins_within_a_group_only(void **state)
{
	struct target *web1 = add(1, "web", 100, 5000), *web2 = add(2, "web", 60, 5000);
	struct target *db1 = add(3, "db", 80, 5000);

	(void)state;
	take();
	assert_int_equal(extent_of(web1)->twins, 60);
	assert_int_equal(extent_of(web2)->twins, 60);
	assert_int_equal(extent_of(db1)->twins, 0);
	assert_int_equal(web1->sums.pages, 100);
	assert_int_equal(web1->sums.cross_bytes + web2->sums.cross_bytes, 60 * 4096);
	assert_int_equal(web1->saveable_bytes, web1->sums.cross_bytes);
	assert_int_equal(db1->saveable_bytes, 0);
}

static void test_census_leaves_out_who_is_off_or_cannot_be_read(void **state)
{
	struct target *web1 = add(1, "web", 100, 5000);
	struct target *off = add(2, "web", 100, 5000), *gone = add(3, "web", 100, 5000);

	(void)state;
	off->policy.mode = MODE_OFF;
	gone->mapped = false;
	take();
	assert_int_equal(extent_of(web1)->twins, 0);
}

/* The observed are counted, so that their potential is known; a plan can only work with those that fold. */
static void test_census_folding_members_are_counted_among_themselves(void **state)
{
	struct target *web1 = add(1, "web", 100, 5000), *web2 = add(2, "web", 40, 5000);
	struct target *observed = add(3, "web", 100, 5000);

	(void)state;
	observed->policy.mode = MODE_OBSERVE;
	take();
	assert_int_equal(extent_of(web1)->twins, 40);
	assert_int_equal(extent_of(web2)->twins, 40);
	assert_int_equal(extent_of(observed)->twins, 100);
	assert_true(observed->saveable_bytes > 0);
}

static void test_census_extents_that_were_not_read_have_no_twins(void **state)
{
	struct target *web1 = add(1, "web", 100, 5000);

	(void)state;
	extent_prints_free(extent_of(web1)->prints);
	extent_of(web1)->prints = NULL;
	extent_of(web1)->twins = 77;
	take();
	assert_int_equal(extent_of(web1)->twins, 0);
}

/* ---- the active group ---- */

static void test_census_activates_the_group_that_saves_most(void **state)
{
	(void)state;
	(void)add(1, "web", 100, 5000);
	(void)add(2, "web", 100, 5000);
	(void)add(3, "db", 200, 9000);
	(void)add(4, "db", 200, 9000);
	take();
	assert_string_equal(core.active_group, "db");
}

static void test_census_a_group_nobody_asks_to_fold_is_never_active(void **state)
{
	(void)state;
	add(1, "web", 100, 5000)->policy.mode = MODE_OBSERVE;
	add(2, "web", 100, 5000)->policy.mode = MODE_OBSERVE;
	add(3, "held", 100, 5000)->held = true;
	take();
	assert_string_equal(core.active_group, "");
	(void)add(4, "db", 1, 1);
	take();
	assert_string_equal(core.active_group, "db");
}

static void test_census_another_group_must_promise_a_quarter_more(void **state)
{
	struct target *web[2], *db[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		web[i] = add(1 + i, "web", 100, 5000);
	for (int i = 0; i < 2; i++)
		db[i] = add(3 + i, "db", 125, 9000);
	(void)strcpy(core.active_group, "web");
	take();
	assert_string_equal(core.active_group, "web");
	for (int i = 0; i < 2; i++)
		made_pages(extent_of(db[i]), 125, 1, 9125);
	take();
	assert_string_equal(core.active_group, "db");
	/* And back only for a quarter more. */
	for (int i = 0; i < 2; i++)
		made_pages(extent_of(web[i]), 100, 50, 5100);
	take();
	assert_string_equal(core.active_group, "db");
}

static void test_census_a_group_with_folds_keeps_its_place(void **state)
{
	struct target *web1 = add(1, "web", 10, 5000);

	(void)state;
	extent_of(web1)->marked = true;
	(void)add(3, "db", 400, 9000);
	(void)add(4, "db", 400, 9000);
	(void)strcpy(core.active_group, "web");
	take();
	assert_string_equal(core.active_group, "web");
	/* Also while its address space cannot be read for a moment. */
	web1->mapped = false;
	take();
	assert_string_equal(core.active_group, "web");
	/* But not once nobody asks for it any more, if what it folded fits in memory. */
	assert_int_equal(host_root_open("", &core.root), 0);
	web1->mapped = true;
	web1->policy.mode = MODE_OBSERVE;
	take();
	assert_string_equal(core.active_group, "db");
	host_root_done(&core.root);
	core.root = (struct host_root){ .root_fd = -1, .proc_fd = -1, .sys_fd = -1 };
}

static void test_census_follows_a_configured_group(void **state)
{
	(void)state;
	(void)add(1, "web", 100, 5000);
	(void)add(2, "db", 100, 9000);
	(void)strcpy(core.config.active_group, "web");
	take();
	assert_string_equal(core.active_group, "web");
	(void)strcpy(core.config.active_group, "nobody");
	take();
	assert_string_equal(core.active_group, "nobody");
	assert_int_equal(core.findings.count, 0);
}

static void test_census_configured_group_waits_for_the_folds_of_another(void **state)
{
	struct target *web1 = add(1, "web", 100, 5000);

	(void)state;
	(void)add(2, "db", 100, 9000);
	extent_of(web1)->marked = true;
	(void)strcpy(core.active_group, "web");
	(void)strcpy(core.config.active_group, "db");
	take();
	assert_string_equal(core.active_group, "web");
	assert_int_equal(core.findings.count, 1);
	assert_non_null(strstr(core.findings.texts[0], "group web stays active"));
	extent_of(web1)->marked = false;
	take();
	assert_string_equal(core.active_group, "db");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CENSUS_TEST(name) cmocka_unit_test_teardown(name, teardown)
		CENSUS_TEST(test_census_of_nobody_is_taken),
		CENSUS_TEST(test_census_counts_twins_within_a_group_only),
		CENSUS_TEST(test_census_leaves_out_who_is_off_or_cannot_be_read),
		CENSUS_TEST(test_census_folding_members_are_counted_among_themselves),
		CENSUS_TEST(test_census_extents_that_were_not_read_have_no_twins),
		CENSUS_TEST(test_census_activates_the_group_that_saves_most),
		CENSUS_TEST(test_census_a_group_nobody_asks_to_fold_is_never_active),
		CENSUS_TEST(test_census_another_group_must_promise_a_quarter_more),
		CENSUS_TEST(test_census_a_group_with_folds_keeps_its_place),
		CENSUS_TEST(test_census_follows_a_configured_group),
		CENSUS_TEST(test_census_configured_group_waits_for_the_folds_of_another),
	};

	return cmocka_run_group_tests_name("census", tests, NULL, NULL);
}
