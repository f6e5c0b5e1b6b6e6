// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/scan_end.h"

#include <errno.h>

#include "common/clock.h"
#include "tests/unit/fake_root.h"

#define KSM   "/sys/kernel/mm/ksm/"
#define START (1000 * NS_PER_S)
#define SCAN  8000 /* pages */

struct world {
	struct fake_root fake;
	struct driver driver;
	struct scan_end end;
	uint64_t scans, pages, now_ns;
};

static void number_write(const struct world *world, const char *path, uint64_t value)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%llu\n", (unsigned long long)value);
	fake_root_write(&world->fake, path, text);
}

static void assert_sleeps(const struct world *world, const char *text)
{
	fake_root_assert_text(&world->fake, KSM "sleep_millisecs", text);
}

static void assert_run(const struct world *world, const char *text)
{
	fake_root_assert_text(&world->fake, KSM "run", text);
}

/* ksmd has come so far; scans: in the next but so many full ones. True: as scan_end_look() says. */
static bool moved(struct world *world, uint64_t scans, uint64_t pages, uint64_t after_ns)
{
	world->scans += scans;
	world->pages += pages;
	world->now_ns += after_ns;
	number_write(world, KSM "full_scans", world->scans);
	number_write(world, KSM "pages_scanned", world->pages);
	return scan_end_look(&world->end, world->now_ns);
}

/* A burst begins: ksmd was started. */
static void begin(struct world *world, uint64_t sleep_ms)
{
	number_write(world, KSM "sleep_millisecs", sleep_ms);
	number_write(world, KSM "run", 1);
	scan_end_begin(&world->end, &world->driver, &world->fake.root, world->scans);
	world->now_ns += NS_PER_MS;
}

static int setup(void **state)
{
	static const char *const zeros[] = { "pages_shared", "pages_sharing", "pages_unshared",
		"pages_volatile", "smart_scan", "use_zero_pages", "pages_to_scan" };
	struct world *world = calloc(1, sizeof(*world));

	if (!world)
		return -1;
	fake_root_init(&world->fake);
	for (size_t i = 0; i < sizeof(zeros) / sizeof(*zeros); i++) {
		char path[64];

		(void)snprintf(path, sizeof(path), KSM "%s", zeros[i]);
		number_write(world, path, 0);
	}
	driver_init(&world->driver);
	world->scans = 7;
	world->pages = 50000;
	world->now_ns = START;
	number_write(world, KSM "full_scans", world->scans);
	number_write(world, KSM "pages_scanned", world->pages);
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

/* From somewhere in a scan through a whole one, whose length is known from then on. */
static void learn(struct world *world)
{
	begin(world, 0);
	assert_true(moved(world, 1, 3000, 5 * NS_PER_MS));
	assert_int_equal(scan_end_go_on(&world->end), 0);
	assert_true(moved(world, 1, SCAN, 5 * NS_PER_MS));
	assert_int_equal(world->driver.scan_pages, SCAN);
	assert_int_equal(scan_end_go_on(&world->end), 0);
}

static void test_scan_end_stops_ksmd_at_each_end_and_lets_it_go_on(void **state)
{
	struct world *world = *state;

	begin(world, 0);
	assert_false(moved(world, 0, 2500, 5 * NS_PER_MS));
	assert_run(world, "1\n");
	assert_true(moved(world, 1, 500, 5 * NS_PER_MS));
	assert_true(world->end.held);
	assert_run(world, "0");
	assert_int_equal(scan_end_go_on(&world->end), 0);
	assert_false(world->end.held);
	assert_run(world, "1");
	assert_false(moved(world, 0, 2500, 5 * NS_PER_MS));
}

static void test_scan_end_has_ksmd_sleep_when_it_is_near(void **state)
{
	struct world *world = *state;

	learn(world);
	assert_sleeps(world, "0");
	assert_false(moved(world, 0, SCAN / 8 * 7 - 1, 5 * NS_PER_MS));
	assert_false(world->end.near);
	assert_false(moved(world, 0, 1, 5 * NS_PER_MS));
	assert_true(world->end.near);
	assert_sleeps(world, "12");
	assert_true(moved(world, 1, SCAN / 8, SCAN_END_POLL_NS));
	assert_false(world->end.near);
	assert_int_equal(scan_end_go_on(&world->end), 0);
	assert_sleeps(world, "0");
}

static void test_scan_end_is_where_the_next_burst_begins(void **state)
{
	struct world *world = *state;

	learn(world);
	assert_false(moved(world, 0, SCAN - 1, 5 * NS_PER_MS));
	assert_true(moved(world, 1, 1, SCAN_END_POLL_NS));
	assert_true(scan_end_is_parked(&world->driver, world->scans));
	/* Somebody else has run ksmd. */
	assert_false(scan_end_is_parked(&world->driver, world->scans + 1));
	/* Then the whole of the first scan is seen, too. */
	begin(world, 0);
	assert_false(moved(world, 0, SCAN - 1, 5 * NS_PER_MS));
	assert_true(world->end.near);
	assert_false(scan_end_is_parked(&world->driver, world->scans));
}

static void test_scan_end_that_was_noticed_late_is_none(void **state)
{
	struct world *world = *state;

	begin(world, 45);
	assert_false(moved(world, 0, 2500, 5 * NS_PER_MS));
	assert_true(moved(world, 1, 500, 31 * NS_PER_MS));
	assert_true(world->end.held);
	assert_false(scan_end_is_parked(&world->driver, world->scans));
	assert_int_equal(scan_end_go_on(&world->end), 0);
	assert_true(moved(world, 1, 500, 29 * NS_PER_MS));
	assert_true(scan_end_is_parked(&world->driver, world->scans));
}

static void test_scan_end_leaves_longer_sleeps_alone(void **state)
{
	struct world *world = *state;

	learn(world);
	scan_end_pace(&world->end, 45);
	assert_sleeps(world, "45");
	assert_false(moved(world, 0, SCAN - 1, 5 * NS_PER_MS));
	assert_sleeps(world, "45");
	scan_end_pace(&world->end, 1);
	assert_sleeps(world, "12");
}

static void test_scan_end_does_without_a_count_of_pages(void **state)
{
	struct world *world = *state;
	char path[512];

	fake_root_path(&world->fake, KSM "pages_scanned", path);
	begin(world, 0);
	assert_int_equal(unlink(path), 0); /* as before Linux 6.6 */
	number_write(world, KSM "full_scans", ++world->scans);
	assert_true(scan_end_look(&world->end, world->now_ns += 5 * NS_PER_MS));
	assert_int_equal(scan_end_go_on(&world->end), 0);
	assert_false(scan_end_look(&world->end, world->now_ns += 5 * NS_PER_MS));
	assert_false(world->end.near);
	assert_int_equal(world->driver.scan_pages, 0);
}

static void test_scan_end_that_cannot_go_on_says_so(void **state)
{
	struct world *world = *state;
	char path[512];

	begin(world, 0);
	assert_true(moved(world, 1, 500, 5 * NS_PER_MS));
	fake_root_path(&world->fake, KSM "run", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(scan_end_go_on(&world->end), -ENOENT);
	assert_true(world->end.held);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_scan_end_stops_ksmd_at_each_end_and_lets_it_go_on),
		TEST(test_scan_end_has_ksmd_sleep_when_it_is_near),
		TEST(test_scan_end_is_where_the_next_burst_begins),
		TEST(test_scan_end_that_was_noticed_late_is_none),
		TEST(test_scan_end_leaves_longer_sleeps_alone),
		TEST(test_scan_end_does_without_a_count_of_pages),
		TEST(test_scan_end_that_cannot_go_on_says_so),
	};

	return cmocka_run_group_tests_name("scan_end", tests, NULL, NULL);
}
