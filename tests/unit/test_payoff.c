// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/payoff.h"

#include "common/cleanup.h"
#include "tests/unit/made_memory.h"

#define LEAST 32u

static struct extent marked(uint16_t folded)
{
	return (struct extent){
		.start = MADE_BASE,
		.end = MADE_BASE + EXTENT_BYTES,
		.marked = true,
		.folded = folded,
	};
}

static void look(struct extent *extent, unsigned times, float kept)
{
	while (times--)
		payoff_look(extent, LEAST, kept);
}

static void test_payoff_lapses_after_many_looks_in_a_row(void **state)
{
	struct extent extent = marked(LEAST - 1);

	(void)state;
	for (int looks = 1; looks < PAYOFF_LOOKS_LEAST; looks++)
		assert_false(payoff_look(&extent, LEAST, 1));
	assert_false(payoff_has_lapsed(&extent));
	assert_true(payoff_look(&extent, LEAST, 1));
	assert_true(payoff_has_lapsed(&extent));
	assert_false(payoff_look(&extent, LEAST, 1)); /* said once */
	assert_true(payoff_has_lapsed(&extent));
	assert_false(payoff_thrashes(&extent));
	extent.folded = LEAST;
	look(&extent, 1, 1);
	assert_false(payoff_has_lapsed(&extent));
}

static void test_payoff_counts_zero_pages_as_folds(void **state)
{
	struct extent extent = marked(0);

	(void)state;
	extent.zero_before = 5;
	extent.zero_after = 5 + LEAST;
	look(&extent, 2 * PAYOFF_LOOKS_LEAST, 1);
	assert_false(payoff_has_lapsed(&extent));
}

/* Before the burst has gone over it nothing can be folded; while userfaultfd watches nothing can be
 * done. */
static void test_payoff_waits_for_the_burst(void **state)
{
	struct extent fresh = marked(0), watched = marked(0);

	(void)state;
	fresh.fresh = true;
	watched.watched = true;
	look(&fresh, 2 * PAYOFF_LOOKS_LEAST, 1);
	look(&watched, 2 * PAYOFF_LOOKS_LEAST, 1);
	assert_false(payoff_has_lapsed(&fresh));
	assert_false(payoff_has_lapsed(&watched));
}

static void test_payoff_thrashes_where_all_breaks_again_and_again(void **state)
{
	struct extent extent = marked(200);

	(void)state;
	for (int i = 0; i < 8; i++) {
		extent.breaks += 200;
		look(&extent, 1, 1);
	}
	assert_false(payoff_has_lapsed(&extent)); /* eight times all of it just pay */
	extent.breaks++;
	look(&extent, PAYOFF_LOOKS_LEAST, 1);
	assert_true(payoff_thrashes(&extent));
	assert_int_equal(payoff_break_price(&extent), 200);
	/* What broke is forgotten in time. */
	look(&extent, 1, payoff_kept(3600));
	assert_false(payoff_has_lapsed(&extent));
	assert_int_equal(payoff_break_price(&extent), 0);
}

static void test_payoff_that_breaks_once_does_not_thrash(void **state)
{
	struct extent extent = marked(400);

	(void)state;
	look(&extent, 1, 1);
	extent.folded = 60;
	extent.breaks = 340;
	look(&extent, 2 * PAYOFF_LOOKS_LEAST, payoff_kept(30));
	assert_false(payoff_has_lapsed(&extent));
}

static void test_payoff_is_tried_again_ever_later(void **state)
{
	struct extent extent = marked(0);
	uint64_t pass = 100, waits = 16;

	(void)state;
	assert_true(payoff_may_fold(&extent, 0));
	payoff_released(&extent, pass); /* somebody wanted it so */
	assert_true(payoff_may_fold(&extent, pass));
	for (unsigned i = 0; i < 300; i++) {
		extent.marked = true;
		look(&extent, PAYOFF_LOOKS_LEAST, 1);
		assert_true(payoff_has_lapsed(&extent));
		payoff_released(&extent, pass);
		extent.marked = false;
		assert_false(payoff_has_lapsed(&extent));
		assert_false(payoff_may_fold(&extent, pass + waits - 1));
		assert_true(payoff_may_fold(&extent, pass + waits));
		pass += waits;
		waits = waits < 512 ? 2 * waits : 512;
	}
}

static void test_payoff_trusts_what_paid_for_long(void **state)
{
	struct extent extent = marked(0);

	(void)state;
	for (int looks = 63; looks <= 64; looks++) {
		extent.folded = 0;
		look(&extent, PAYOFF_LOOKS_LEAST, 1);
		payoff_released(&extent, 0);
		extent.folded = 100;
		look(&extent, (unsigned)looks, 1);
	}
	extent.folded = 0;
	look(&extent, PAYOFF_LOOKS_LEAST, 1);
	payoff_released(&extent, 100);
	assert_true(payoff_may_fold(&extent, 116)); /* as the first time */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_payoff_lapses_after_many_looks_in_a_row),
		cmocka_unit_test(test_payoff_counts_zero_pages_as_folds),
		cmocka_unit_test(test_payoff_waits_for_the_burst),
		cmocka_unit_test(test_payoff_thrashes_where_all_breaks_again_and_again),
		cmocka_unit_test(test_payoff_that_breaks_once_does_not_thrash),
		cmocka_unit_test(test_payoff_is_tried_again_ever_later),
		cmocka_unit_test(test_payoff_trusts_what_paid_for_long),
	};

	return cmocka_run_group_tests_name("payoff", tests, NULL, NULL);
}
