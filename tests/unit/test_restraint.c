// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/restraint.h"

#include <inttypes.h>

#include "daemon/pressure.h"
#include "tests/unit/fake_root.h"
#include "tests/unit/made_core.h"

#define MIB   UINT64_C(1048576)
#define TOTAL (UINT64_C(8192) * MIB)

/* ---- pressure: pure ---- */

static bool is_pressed(unsigned available_percent, double stalled_percent, bool was)
{
	const struct pressure now = { TOTAL, TOTAL / 100 * available_percent, stalled_percent };

	return pressure_is_on(&now, was);
}

static void test_pressure_is_little_memory_or_long_waits(void **state)
{
	(void)state;
	assert_false(is_pressed(10, 0, false));
	assert_true(is_pressed(9, 0, false));
	assert_false(is_pressed(90, 4.99, false));
	assert_true(is_pressed(90, 5, false));
	assert_true(is_pressed(9, PRESSURE_NOT_MEASURED, false));
	assert_false(is_pressed(50, PRESSURE_NOT_MEASURED, false));
}

static void test_pressure_lasts_until_more_is_available_than_it_began_at(void **state)
{
	(void)state;
	assert_true(is_pressed(14, 0, true));
	assert_false(is_pressed(15, 0, true));
	assert_true(is_pressed(50, 1, true));
	assert_false(is_pressed(50, 0.99, true));
	assert_false(is_pressed(50, PRESSURE_NOT_MEASURED, true));
}

static void test_pressure_tells_the_numbers(void **state)
{
	struct pressure now = { TOTAL, TOTAL / 100 * 63, 0.25 };
	char *text = pressure_text(&now);

	(void)state;
	assert_non_null(strstr(text, "63.0 % of memory is available"));
	assert_non_null(strstr(text, "0.25 % of the time"));
	assert_non_null(strstr(text, "below 10 %, or from 5 % on"));
	free(text);
	now.stalled_percent = PRESSURE_NOT_MEASURED;
	text = pressure_text(&now);
	assert_null(strstr(text, "waits"));
	assert_non_null(strstr(text, "folding begins below 10 %"));
	free(text);
}

/* ---- exposure: pure ---- */

static struct exposure exposure_of(uint64_t available_mib, uint64_t swap_mib, uint64_t exposed_mib)
{
	return (struct exposure){ TOTAL, available_mib * MIB, swap_mib * MIB, exposed_mib * MIB };
}

static enum exposure_level level_of(
	uint64_t available_mib, uint64_t swap_mib, uint64_t exposed_mib, enum exposure_level was)
{
	const struct exposure now = exposure_of(available_mib, swap_mib, exposed_mib);

	return exposure_judge(&now, was);
}

/* A twentieth of 8192 MiB is 409.6, a 16th 512, a 256th 32, a 128th 64. */
static void test_exposure_levels_go_by_what_would_be_left(void **state)
{
	static const struct {
		uint64_t available, swap, exposed;
		enum exposure_level was, level;
	} cases[] = {
		{ 1410, 0, 1000, EXPOSURE_COVERED, EXPOSURE_COVERED },
		{ 1409, 0, 1000, EXPOSURE_COVERED, EXPOSURE_TIGHT },
		{ 409, 1001, 1000, EXPOSURE_COVERED, EXPOSURE_COVERED }, /* swap is as good */
		{ 1511, 0, 1000, EXPOSURE_TIGHT, EXPOSURE_TIGHT },
		{ 1512, 0, 1000, EXPOSURE_TIGHT, EXPOSURE_COVERED },
		{ 1032, 0, 1000, EXPOSURE_TIGHT, EXPOSURE_TIGHT },
		{ 1031, 0, 1000, EXPOSURE_TIGHT, EXPOSURE_UNCOVERED },
		{ 1031, 0, 1000, EXPOSURE_COVERED, EXPOSURE_UNCOVERED },
		{ 1063, 0, 1000, EXPOSURE_UNCOVERED, EXPOSURE_UNCOVERED },
		{ 1064, 0, 1000, EXPOSURE_UNCOVERED, EXPOSURE_TIGHT },
		{ 2000, 0, 1000, EXPOSURE_UNCOVERED, EXPOSURE_COVERED },
		{ 500, 0, 1000, EXPOSURE_COVERED, EXPOSURE_UNCOVERED },
		/* Short of memory, but nothing of it is folding's doing. */
		{ 20, 0, 0, EXPOSURE_COVERED, EXPOSURE_TIGHT },
		{ 0, 0, 0, EXPOSURE_UNCOVERED, EXPOSURE_TIGHT },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(level_of(cases[i].available, cases[i].swap, cases[i].exposed,
					 cases[i].was),
			cases[i].level);
}

/* Folding frees what it exposes: by itself it never brings the host closer to anything. */
static void test_exposure_folding_changes_nothing_of_it(void **state)
{
	(void)state;
	for (uint64_t folded = 0; folded < 4000; folded += 500) {
		const struct exposure now = exposure_of(1000 + folded, 0, 500 + folded);

		assert_int_equal(exposure_left_bytes(&now), 500 * MIB);
		assert_int_equal(exposure_judge(&now, EXPOSURE_COVERED), EXPOSURE_COVERED);
	}
}

/* Whoever takes all that a burst has freed leaves enough for every fold to break. */
static void test_exposure_burst_frees_no_more_than_may_be_taken(void **state)
{
	(void)state;
	for (uint64_t available = 1064; available < 1409; available += 23) {
		struct exposure now = exposure_of(available, 0, 1000);
		const uint64_t freed = exposure_allowance_bytes(
			&now, exposure_judge(&now, EXPOSURE_COVERED));

		assert_in_range(freed, 1, 409 * MIB);
		now.exposed_bytes += freed; /* available: as before, since it was taken */
		assert_true(exposure_left_bytes(&now) >= 0);
	}
}

static void test_exposure_allowance_is_all_or_nothing_at_the_ends(void **state)
{
	const struct exposure rich = exposure_of(4000, 0, 1000), poor = exposure_of(900, 0, 1000),
			      bare = exposure_of(10, 0, 0);

	(void)state;
	assert_true(exposure_allowance_bytes(&rich, EXPOSURE_COVERED) == UINT64_MAX);
	assert_int_equal(exposure_allowance_bytes(&poor, EXPOSURE_UNCOVERED), 0);
	assert_int_equal(exposure_allowance_bytes(&bare, EXPOSURE_TIGHT), 32 * MIB);
	assert_true(exposure_left_bytes(&poor) < 0);
}

static void test_exposure_tells_the_numbers(void **state)
{
	const struct exposure now = exposure_of(900, 50, 1000);
	char *text = exposure_text(&now, EXPOSURE_UNCOVERED);

	(void)state;
	assert_non_null(strstr(text, "1000 MiB would be needed"));
	assert_non_null(strstr(text, "950 MiB for that (900 MiB available, 50 MiB of free swap)"));
	assert_non_null(strstr(text, "not enough, so nothing more is folded"));
	free(text);
}

/* ---- restraint: over a host's files ---- */

static struct fake_root fake;
static struct core core;

static void set_host(uint64_t available_mib, const char *stalled)
{
	char text[256];

	(void)snprintf(text, sizeof(text),
		"MemTotal: %" PRIu64 " kB\nMemAvailable: %" PRIu64 " kB\nAnonPages: 4 kB\nSwapFree: 0 kB\n",
		TOTAL >> 10, available_mib << 10);
	fake_root_write(&fake, "/proc/meminfo", text);
	(void)snprintf(text, sizeof(text),
		"some avg10=%s avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 "
		"total=0\n", stalled);
	fake_root_write(&fake, "/proc/pressure/memory", text);
}

static bool look(void)
{
	sentences_clear(&core.warnings);
	return restraint_look(&core);
}

static int setup(void **state)
{
	(void)state;
	fake_root_init(&fake);
	core.root = fake.root;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	made_core_done(&core);
	fake_root_done(&fake);
	return 0;
}

static void test_restraint_of_a_rich_host_is_none(void **state)
{
	(void)state;
	set_host(4096, "0.00");
	made_target(&core, 1, "web", 1)->exposure_bytes = 100 * MIB;
	assert_false(look());
	assert_false(restraint_holds_back(&core.restraint));
	assert_false(core.restraint.limited);
	assert_null(core.restraint.reason);
	assert_int_equal(core.warnings.count, 0);
}

static void test_restraint_waits_for_pressure_and_goes_on_after_it(void **state)
{
	(void)state;
	core.config.fold_when = FOLD_PRESSURE;
	set_host(4096, "0.00");
	(void)look();
	assert_true(restraint_holds_back(&core.restraint));
	assert_non_null(strstr(core.restraint.reason, "50.0 % of memory is available"));
	assert_false(restraint_lifts(&core));

	set_host(700, "0.00");
	assert_true(restraint_lifts(&core));
	assert_true(look());
	assert_false(restraint_holds_back(&core.restraint));
	assert_null(core.restraint.reason);

	set_host(1200, "0.00"); /* 14.6 %: not over yet */
	assert_false(look());
	assert_false(restraint_holds_back(&core.restraint));
	set_host(1300, "0.00");
	assert_false(look());
	assert_true(restraint_holds_back(&core.restraint));

	set_host(4096, "7.31"); /* memory is there, and something waits for it all the same */
	assert_true(restraint_lifts(&core));
	assert_true(look());
}

static void test_restraint_waits_without_psi_too(void **state)
{
	(void)state;
	core.config.fold_when = FOLD_PRESSURE;
	fake_root_write(&fake, "/proc/meminfo",
		"MemTotal: 1000 kB\nMemAvailable: 900 kB\nAnonPages: 4 kB\n");
	(void)look();
	assert_non_null(core.restraint.reason);
	assert_null(strstr(core.restraint.reason, "waits"));
}

static void test_restraint_slows_then_stops_by_the_books_of_all(void **state)
{
	(void)state;
	made_target(&core, 1, "web", 1)->exposure_bytes = 600 * MIB;
	made_target(&core, 2, "web", 1)->exposure_bytes = 400 * MIB;
	set_host(1200, "0.00");
	(void)look();
	assert_true(core.restraint.limited);
	assert_int_equal(core.restraint.allowance_pages * PAGE_BYTES, (1200 - 1000 - 32) * MIB);
	assert_null(core.restraint.reason);
	assert_int_equal(core.warnings.count, 1);
	assert_non_null(strstr(core.warnings.texts[0], "only little is folded at a time"));

	set_host(990, "0.00");
	(void)look();
	assert_true(restraint_holds_back(&core.restraint));
	assert_non_null(strstr(core.restraint.reason, "1000 MiB would be needed"));
	assert_int_equal(core.warnings.count, 1);
	assert_false(restraint_lifts(&core));
	set_host(2000, "0.00");
	assert_true(restraint_lifts(&core));
}

static void test_restraint_says_nothing_where_nothing_is_folded(void **state)
{
	(void)state;
	set_host(100, "0.00");
	(void)look();
	assert_true(core.restraint.limited);
	assert_false(restraint_holds_back(&core.restraint));
	assert_int_equal(core.warnings.count, 0);
}

static void test_restraint_keeps_its_judgement_while_nothing_can_be_read(void **state)
{
	(void)state;
	core.config.fold_when = FOLD_PRESSURE;
	set_host(4096, "0.00");
	(void)look();
	fake_root_write(&fake, "/proc/meminfo", "nothing of use\n");
	assert_false(look());
	assert_true(restraint_holds_back(&core.restraint));
	assert_false(restraint_lifts(&core));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pressure_is_little_memory_or_long_waits),
		cmocka_unit_test(test_pressure_lasts_until_more_is_available_than_it_began_at),
		cmocka_unit_test(test_pressure_tells_the_numbers),
		cmocka_unit_test(test_exposure_levels_go_by_what_would_be_left),
		cmocka_unit_test(test_exposure_folding_changes_nothing_of_it),
		cmocka_unit_test(test_exposure_burst_frees_no_more_than_may_be_taken),
		cmocka_unit_test(test_exposure_allowance_is_all_or_nothing_at_the_ends),
		cmocka_unit_test(test_exposure_tells_the_numbers),
		cmocka_unit_test_setup_teardown(
			test_restraint_of_a_rich_host_is_none, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_restraint_waits_for_pressure_and_goes_on_after_it, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_restraint_waits_without_psi_too, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_restraint_slows_then_stops_by_the_books_of_all, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_restraint_says_nothing_where_nothing_is_folded, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_restraint_keeps_its_judgement_while_nothing_can_be_read, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
