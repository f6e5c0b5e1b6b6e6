// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/judge.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "tests/unit/made_core.h"

#define MINUTE (60 * NS_PER_S)

static struct core core;
static struct target *vm;

static int setup(void **state)
{
	(void)state;
	(void)strcpy(core.active_group, "web");
	vm = made_target(&core, 1, "web", 2);
	vm->guest.map.extents[0].marked = true;
	vm->marked_extents = 1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	made_core_done(&core);
	return 0;
}

/* One look at that time: so much gained, so many CPU-seconds so far. */
static struct snapshot *look(uint64_t now_ns, int64_t mib, double cpu_seconds)
{
	struct snapshot *snapshot = snapshot_new();

	snapshot->vms = calloc(1, sizeof(*snapshot->vms));
	snapshot->vm_count = 1;
	snapshot_vm_init(&snapshot->vms[0]);
	snapshot->vms[0].cpu_seconds = cpu_seconds;
	snapshot->memory_bytes = INT64_C(64) << 30;
	snapshot->net_bytes = snapshot->reclaimed_bytes = vm->reclaimed_bytes = mib << 20;
	snapshot->scan_cpu_seconds = snapshot->ksmd_cpu_seconds = cpu_seconds / 2;
	snapshot->ring_cpu_seconds = snapshot->helper_cpu_seconds = 0;
	judge_fill(&core, snapshot, now_ns);
	judge_decide(&core, now_ns);
	return snapshot;
}

static enum verdict_word word_of(uint64_t now_ns, int64_t mib, double cpu_seconds)
{
	struct snapshot *snapshot = look(now_ns, mib, cpu_seconds);
	const enum verdict_word word = snapshot->vms[0].verdict.word;

	assert_non_null(snapshot->vms[0].verdict_reason);
	assert_non_null(snapshot->verdict_reason);
	(void)snapshot_unref(snapshot);
	return word;
}

static void test_judge_gives_a_verdict_for_vm_and_host(void **state)
{
	struct snapshot *snapshot = look(MINUTE, 100, 1);

	(void)state;
	assert_int_equal(snapshot->vms[0].verdict.word, VERDICT_WORTH_IT);
	assert_int_equal(snapshot->verdict.word, VERDICT_WORTH_IT);
	assert_true(snapshot->verdict.net_bytes >
		    snapshot->vms[0].verdict.net_bytes); /* its fingerprints */
	assert_true(snapshot->vms[0].verdict.stall_seconds_per_hour < 0);
	(void)snapshot_unref(snapshot);
}

static void test_judge_does_not_know_where_nothing_is_folded(void **state)
{
	struct snapshot *snapshot;

	(void)state;
	vm->marked_extents = 0;
	assert_int_equal(word_of(MINUTE, 0, 100), VERDICT_UNKNOWN);
	snapshot = look(2 * MINUTE, 0, 100);
	assert_int_equal(snapshot->verdict.word, VERDICT_UNKNOWN);
	(void)snapshot_unref(snapshot);
	vm->marked_extents = 1;
	vm->ksm_item_bytes = NOT_MEASURED;
	assert_int_equal(word_of(3 * MINUTE, 10, 100), VERDICT_UNKNOWN);
	vm->ksm_item_bytes = 0;
	core.bursting = true;
	assert_int_equal(word_of(4 * MINUTE, 10, 100), VERDICT_UNKNOWN);
	assert_int_equal(vm->judgement.costly_since_ns, 0);
	vm->mapped = false;
	assert_int_equal(word_of(5 * MINUTE, 10, 100), VERDICT_UNKNOWN);
}

static void test_judge_lets_one_rest_that_costs_more_for_ten_minutes(void **state)
{
	(void)state;
	assert_int_equal(word_of(1 * MINUTE, 1, 10000), VERDICT_COSTS_MORE);
	assert_int_equal(word_of(10 * MINUTE, 1, 10000), VERDICT_COSTS_MORE);
	assert_false(judgement_rests(&vm->judgement));
	(void)word_of(11 * MINUTE, 1, 10000);
	assert_true(judgement_rests(&vm->judgement));
	assert_int_equal(judge_rest_minutes(&vm->judgement, 11 * MINUTE + 1), 120);
}

static void test_judge_is_not_impressed_by_a_bad_moment(void **state)
{
	(void)state;
	assert_int_equal(word_of(1 * MINUTE, 1, 10000), VERDICT_COSTS_MORE);
	assert_int_equal(word_of(9 * MINUTE, 1 << 20, 10000), VERDICT_WORTH_IT);
	assert_int_equal(word_of(11 * MINUTE, 1, 10000), VERDICT_COSTS_MORE);
	assert_false(judgement_rests(&vm->judgement));
}

static void test_judge_wakes_it_when_the_time_is_over_or_its_policy_changes(void **state)
{
	(void)state;
	(void)word_of(1 * MINUTE, 1, 10000);
	(void)word_of(11 * MINUTE, 1, 10000);
	judge_decide(&core, 130 * MINUTE);
	assert_true(judgement_rests(&vm->judgement));
	judge_decide(&core, 131 * MINUTE);
	assert_false(judgement_rests(&vm->judgement));
	/* The next time for twice as long. */
	(void)word_of(140 * MINUTE, 1, 40000);
	(void)word_of(150 * MINUTE, 1, 40000);
	assert_int_equal(judge_rest_minutes(&vm->judgement, 150 * MINUTE + 1), 240);
	vm->policy_is_new = true;
	judge_decide(&core, 151 * MINUTE);
	assert_false(judgement_rests(&vm->judgement));
}

static void test_judge_rests_get_no_longer_than_a_day(void **state)
{
	uint64_t now_ns = MINUTE;

	(void)state;
	for (int i = 0; i < 20; i++) {
		(void)word_of(now_ns, 1, 1e6 * (i + 1));
		now_ns += 10 * MINUTE;
		(void)word_of(now_ns, 1, 1e6 * (i + 1));
		assert_true(judgement_rests(&vm->judgement));
		assert_true(judge_rest_minutes(&vm->judgement, now_ns + 1) <= 24 * 60);
		now_ns = vm->judgement.rests_until_ns;
		judge_decide(&core, now_ns);
	}
}

static void test_judge_leaves_alone_who_wants_memory_first_or_is_not_to_be_folded(void **state)
{
	static const struct {
		enum policy_mode mode;
		enum policy_hugepages hugepages;
	} cases[] = { { MODE_MERGE, HUGEPAGES_FOLD }, { MODE_OBSERVE, HUGEPAGES_BALANCE } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		vm->policy.mode = cases[i].mode;
		vm->policy.hugepages = cases[i].hugepages;
		assert_int_equal(word_of(1 * MINUTE, 1, 10000), VERDICT_COSTS_MORE);
		(void)word_of(20 * MINUTE, 1, 10000);
		assert_false(judgement_rests(&vm->judgement));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define JUDGE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		JUDGE_TEST(test_judge_gives_a_verdict_for_vm_and_host),
		JUDGE_TEST(test_judge_does_not_know_where_nothing_is_folded),
		JUDGE_TEST(test_judge_lets_one_rest_that_costs_more_for_ten_minutes),
		JUDGE_TEST(test_judge_is_not_impressed_by_a_bad_moment),
		JUDGE_TEST(test_judge_wakes_it_when_the_time_is_over_or_its_policy_changes),
		JUDGE_TEST(test_judge_rests_get_no_longer_than_a_day),
		JUDGE_TEST(test_judge_leaves_alone_who_wants_memory_first_or_is_not_to_be_folded),
	};

	return cmocka_run_group_tests_name("judge", tests, NULL, NULL);
}
