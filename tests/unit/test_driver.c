// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/driver.h"

#include <errno.h>
#include <sys/file.h>

#include "common/clock.h"
#include "tests/unit/fake_host.h"

struct world {
	struct fake_root fake;
	struct driver driver;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	fake_host_init(&world->fake);
	fake_host_add_ksm(&world->fake);
	driver_init(&world->driver);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	driver_done(&world->driver);
	fake_root_done(&world->fake);
	free(world);
	return 0;
}

static void survey_as(struct driver *driver, const struct host_root *root, enum ksm_owner owner)
{
	struct process_table processes = { 0 };

	assert_int_equal(process_table_refresh(root, NS_PER_S, &processes), 0);
	driver_survey(driver, root, &processes, owner);
	process_table_done(&processes);
}

static void survey(struct world *world, enum ksm_owner owner)
{
	survey_as(&world->driver, &world->fake.root, owner);
}

static void assert_driver(
	const struct world *world, enum driver_status status, const char *name, const char *reason)
{
	assert_int_equal(world->driver.status, status);
	assert_string_equal(driver_name(&world->driver), name);
	if (!reason) {
		assert_null(world->driver.reason);
	} else {
		assert_non_null(world->driver.reason);
		assert_non_null(strstr(world->driver.reason, reason));
	}
}

static void set_run(const struct world *world, const char *text)
{
	fake_root_write(&world->fake, "/sys/kernel/mm/ksm/run", text);
}

static void add_program_of(const struct world *world, pid_t pid, const char *comm, const char *uids)
{
	char text[256];

	(void)snprintf(text, sizeof(text),
		"%d (%s) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0\n", (int)pid, comm);
	fake_root_write(&world->fake, fake_host_path(pid, "stat"), text);
	(void)snprintf(text, sizeof(text), "Name:\t%s\nUid:\t%s\n", comm, uids);
	fake_root_write(&world->fake, fake_host_path(pid, "status"), text);
}

static void add_program(const struct world *world, pid_t pid, const char *comm)
{
	add_program_of(world, pid, comm, "0\t0\t0\t0");
}

/* ---- who drives ---- */

static void test_driver_before_the_first_survey_is_nobody(void **state)
{
	const struct world *world = *state;

	assert_string_equal(driver_name(&world->driver), "none");
	assert_int_equal(world->driver.lock_fd, -1);
}

static void test_driver_of_a_host_where_nobody_drives_is_pagefold(void **state)
{
	survey(*state, KSM_OWNER_AUTO);
	assert_driver(*state, DRIVER_READY, "pagefold", NULL);
	survey(*state, KSM_OWNER_AUTO);
	assert_driver(*state, DRIVER_READY, "pagefold", NULL);
}

static void test_driver_without_ksm_says_so(void **state)
{
	struct world *world = *state;
	struct fake_root none;

	fake_root_init(&none);
	survey_as(&world->driver, &none.root, KSM_OWNER_AUTO);
	assert_driver(world, DRIVER_NO_KSM, "none", "no KSM");
	assert_int_equal(world->driver.lock_fd, -1);
	fake_root_done(&none);
}

static void test_driver_told_to_stand_by_does(void **state)
{
	struct world *world = *state;

	survey(world, KSM_OWNER_STAND_BY);
	assert_driver(world, DRIVER_STAND_BY, "stand-by", "stand-by");
	assert_int_equal(world->driver.lock_fd, -1); /* somebody else may */
}

static void test_driver_leaves_a_running_ksmd_to_who_started_it(void **state)
{
	struct world *world = *state;

	set_run(world, "1\n");
	survey(world, KSM_OWNER_AUTO);
	assert_driver(world, DRIVER_OTHER_OWNER, "other", "ksm-owner = pagefold");
	/* And takes over once it was stopped. */
	set_run(world, "0\n");
	survey(world, KSM_OWNER_AUTO);
	assert_driver(world, DRIVER_READY, "pagefold", NULL);
}

static void test_driver_that_owns_ksm_takes_a_running_ksmd(void **state)
{
	set_run(*state, "1\n");
	survey(*state, KSM_OWNER_PAGEFOLD);
	assert_driver(*state, DRIVER_READY, "pagefold", NULL);
}

static void test_driver_that_owes_started_ksmd_itself(void **state)
{
	struct world *world = *state;

	set_run(world, "1\n");
	world->driver.owes = true;
	survey(world, KSM_OWNER_AUTO);
	assert_driver(world, DRIVER_READY, "pagefold", NULL);
}

static void test_driver_that_was_told_to_unmerge_is_nobody(void **state)
{
	set_run(*state, "2\n");
	survey(*state, KSM_OWNER_AUTO);
	assert_driver(*state, DRIVER_READY, "pagefold", NULL);
}

static void test_driver_other_programs_are_known_by_name(void **state)
{
	static const char *const programs[] = { "ksmtuned", "momd", "virt-handler" };
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		add_program(world, 4711, programs[i]);
		survey(world, KSM_OWNER_AUTO);
		assert_driver(world, DRIVER_OTHER_OWNER, "other", programs[i]);
		assert_non_null(strstr(world->driver.reason, "4711"));
		survey(world, KSM_OWNER_PAGEFOLD);
		assert_driver(world, DRIVER_READY, "pagefold", NULL);
	}
	add_program(world, 4711, "ksmtunedx");
	add_program(world, 4712, "xksmtuned");
	survey(world, KSM_OWNER_AUTO);
	assert_driver(world, DRIVER_READY, "pagefold", NULL);
}

static void test_driver_a_name_without_roots_rights_drives_nothing(void **state)
{
	struct world *world = *state;

	add_program_of(world, 4711, "ksmtuned", "1000\t1000\t1000\t1000");
	survey(world, KSM_OWNER_AUTO);
	assert_driver(world, DRIVER_READY, "pagefold", NULL);
	add_program_of(world, 4711, "ksmtuned", "hostile");
	survey(world, KSM_OWNER_AUTO);
	assert_driver(world, DRIVER_READY, "pagefold", NULL);
	add_program_of(world, 4711, "ksmtuned", "1000\t0\t1000\t1000");
	survey(world, KSM_OWNER_AUTO);
	assert_driver(world, DRIVER_OTHER_OWNER, "other", "ksmtuned");
}

static void test_driver_is_one_per_host(void **state)
{
	struct world *world = *state;
	struct driver other;

	driver_init(&other);
	survey_as(&other, &world->fake.root, KSM_OWNER_AUTO);
	assert_int_equal(other.status, DRIVER_READY);
	survey(world, KSM_OWNER_PAGEFOLD);
	assert_driver(world, DRIVER_OTHER_PAGEFOLD, "another pagefold", "another pagefoldd");
	driver_done(&other);
	assert_int_equal(other.lock_fd, -1);
	survey(world, KSM_OWNER_PAGEFOLD);
	assert_driver(world, DRIVER_READY, "pagefold", NULL);
}

/* ---- debts ---- */

static void assert_knob(const struct world *world, const char *name, const char *text)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/sys/kernel/mm/ksm/%s", name);
	fake_root_assert_text(&world->fake, path, text);
}

/* As in a burst: everything is different from what is owed. */
static void owe(struct world *world, int64_t run)
{
	const struct ksm_knobs burst = { 1, 2500, 45, 0, 1, 0 };

	world->driver.owes = true;
	world->driver.owed = (struct ksm_knobs){ run, 100, 20, 1, 0, 0 };
	assert_int_equal(ksm_knobs_write(&world->fake.root, &burst), 0);
	assert_knob(world, "run", "1");
}

static void assert_given_back(const struct world *world)
{
	assert_knob(world, "pages_to_scan", "100");
	assert_knob(world, "sleep_millisecs", "20");
	assert_knob(world, "smart_scan", "1");
	assert_knob(world, "use_zero_pages", "0");
}

static void test_driver_without_debts_restores_nothing(void **state)
{
	struct world *world = *state;

	set_run(world, "1\n");
	assert_int_equal(driver_restore(&world->driver, &world->fake.root, false), 0);
	assert_knob(world, "run", "1\n");
}

static void test_driver_gives_back_what_it_owes(void **state)
{
	struct world *world = *state;

	owe(world, 0);
	assert_int_equal(driver_restore(&world->driver, &world->fake.root, true), 0);
	assert_knob(world, "run", "0");
	assert_given_back(world);
	assert_false(world->driver.owes);
}

static void test_driver_keeps_ksmd_stopped_and_the_debt(void **state)
{
	struct world *world = *state;

	owe(world, 1);
	assert_int_equal(driver_restore(&world->driver, &world->fake.root, true), 0);
	assert_knob(world, "run", "0");
	assert_given_back(world);
	assert_true(world->driver.owes);
	assert_int_equal(driver_restore(&world->driver, &world->fake.root, false), 0);
	assert_knob(world, "run", "1");
	assert_false(world->driver.owes);
}

static void test_driver_told_to_stand_by_gives_back_at_once_and_lets_go(void **state)
{
	struct world *world = *state;

	survey(world, KSM_OWNER_PAGEFOLD);
	assert_driver(world, DRIVER_READY, "pagefold", NULL);
	owe(world, 1);
	survey(world, KSM_OWNER_STAND_BY);
	assert_driver(world, DRIVER_STAND_BY, "stand-by", "stand-by");
	assert_knob(world, "run", "1"); /* as it was before us */
	assert_given_back(world);
	assert_false(world->driver.owes);
	assert_int_equal(world->driver.lock_fd, -1);
}

/* The other one's knobs are none of ours to write. */
static void test_driver_standing_by_beside_another_keeps_its_debt(void **state)
{
	struct world *world = *state;
	struct driver other;

	driver_init(&other);
	survey_as(&other, &world->fake.root, KSM_OWNER_AUTO);
	owe(world, 0);
	survey(world, KSM_OWNER_STAND_BY);
	assert_knob(world, "run", "1");
	assert_true(world->driver.owes);
	driver_done(&other);
	survey(world, KSM_OWNER_STAND_BY);
	assert_knob(world, "run", "0");
	assert_false(world->driver.owes);
}

static void test_driver_never_unmerges_to_give_back(void **state)
{
	struct world *world = *state;

	for (int keep_stopped = 0; keep_stopped < 2; keep_stopped++) {
		owe(world, 2);
		assert_int_equal(
			driver_restore(&world->driver, &world->fake.root, keep_stopped), 0);
		assert_knob(world, "run", "0");
		assert_false(world->driver.owes);
	}
}

static void test_driver_debt_stays_where_it_cannot_be_paid(void **state)
{
	struct world *world = *state;
	char path[512];

	owe(world, 0);
	fake_root_path(&world->fake, "/sys/kernel/mm/ksm/pages_to_scan", path);
	assert_int_equal(unlink(path), 0);
	assert_true(driver_restore(&world->driver, &world->fake.root, false) < 0);
	assert_true(world->driver.owes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define DRIVER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		DRIVER_TEST(test_driver_before_the_first_survey_is_nobody),
		DRIVER_TEST(test_driver_of_a_host_where_nobody_drives_is_pagefold),
		DRIVER_TEST(test_driver_without_ksm_says_so),
		DRIVER_TEST(test_driver_told_to_stand_by_does),
		DRIVER_TEST(test_driver_leaves_a_running_ksmd_to_who_started_it),
		DRIVER_TEST(test_driver_that_owns_ksm_takes_a_running_ksmd),
		DRIVER_TEST(test_driver_that_owes_started_ksmd_itself),
		DRIVER_TEST(test_driver_that_was_told_to_unmerge_is_nobody),
		DRIVER_TEST(test_driver_other_programs_are_known_by_name),
		DRIVER_TEST(test_driver_a_name_without_roots_rights_drives_nothing),
		DRIVER_TEST(test_driver_is_one_per_host),
		DRIVER_TEST(test_driver_without_debts_restores_nothing),
		DRIVER_TEST(test_driver_gives_back_what_it_owes),
		DRIVER_TEST(test_driver_keeps_ksmd_stopped_and_the_debt),
		DRIVER_TEST(test_driver_told_to_stand_by_gives_back_at_once_and_lets_go),
		DRIVER_TEST(test_driver_standing_by_beside_another_keeps_its_debt),
		DRIVER_TEST(test_driver_never_unmerges_to_give_back),
		DRIVER_TEST(test_driver_debt_stays_where_it_cannot_be_paid),
	};

	return cmocka_run_group_tests_name("driver", tests, NULL, NULL);
}
