// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/publish.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "tests/unit/fake_root.h"
#include "tests/unit/made_core.h"

static struct fake_root fake;
static struct core core;

static int setup(void **state)
{
	(void)state;
	fake_root_init(&fake);
	fake_root_write(&fake, "/proc/meminfo",
		"MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\nAnonPages: 4 kB\n");
	core.root = fake.root;
	core.pass_number = 3;
	(void)strcpy(core.active_group, "web");
	driver_init(&core.driver);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	made_core_done(&core);
	fake_root_done(&fake);
	return 0;
}

/* A VM of the active group with room for marks. */
static struct target *add(pid_t pid)
{
	struct target *target = made_target(&core, pid, "web", 2);

	target->vma_room = 1000;
	return target;
}

static void mark(struct target *target)
{
	target->guest.map.extents[0].marked = true;
	target->marked_extents = 1;
}

/* State and reason of the first VM; reason NULL: none, else a part of it. */
static void assert_first(enum vm_state state, const char *reason)
{
	struct snapshot *snapshot = publish_snapshot(&core);

	assert_non_null(snapshot);
	assert_true(snapshot->vm_count >= 1);
	assert_string_equal(vm_state_name(snapshot->vms[0].state), vm_state_name(state));
	if (!reason) {
		assert_null(snapshot->vms[0].reason);
	} else {
		assert_non_null(snapshot->vms[0].reason);
		if (!strstr(snapshot->vms[0].reason, reason))
			fail_msg("\"%s\" is not in \"%s\"", reason, snapshot->vms[0].reason);
	}
	(void)snapshot_unref(snapshot);
}

/* ---- states ---- */

static void test_publish_observed(void **state)
{
	struct target *target = add(1);

	(void)state;
	target->policy.mode = MODE_OBSERVE;
	assert_first(VM_OBSERVED, NULL);
	mark(target);
	assert_first(VM_FOLDED, "mode = observe");
}

static void test_publish_off(void **state)
{
	struct target *target = add(1);

	(void)state;
	target->policy.mode = MODE_OFF;
	target->mapped = false;
	assert_first(VM_OFF, NULL);
}

/* Not yet released: the sentence must not speak of another mode. */
static void test_publish_off_with_marks_is_still_folded(void **state)
{
	struct target *target = add(1);

	(void)state;
	target->policy.mode = MODE_OFF;
	mark(target);
	assert_first(VM_FOLDED, "mode = off");
}

static void test_publish_released(void **state)
{
	struct target *target = add(1);

	(void)state;
	target->held = true;
	assert_first(VM_RELEASED, "released by the operator");
}

static void test_publish_resting_says_for_how_long(void **state)
{
	struct target *target = add(1);

	(void)state;
	target->judgement.rests_until_ns = clock_monotonic_ns() + 90 * 60 * NS_PER_S;
	assert_first(VM_WAITING, "left alone; it is tried again in 90 minutes");
	mark(target);
	assert_first(VM_FOLDED, "being released");
	target->judgement.rests_until_ns = 0;
	assert_first(VM_FOLDED, NULL);
}

static void test_publish_ineligible(void **state)
{
	struct target *target = add(1);

	(void)state;
	extent_map_done(&target->guest.map);
	target->guest.verdict_bytes[RAM_HUGETLB] = target->guest.ram_bytes;
	assert_first(VM_INELIGIBLE, ram_verdict_text(RAM_HUGETLB));
}

static void test_publish_held_back_says_what_it_waits_for(void **state)
{
	struct target *target = add(1);

	(void)state;
	core.restraint.reason = strdup("fold-when = pressure: 63 % of memory is available");
	assert_first(VM_WAITING, "63 % of memory");
	mark(target);
	assert_first(VM_FOLDED, "63 % of memory");
	core.paused = true; /* the operator's word goes first */
	assert_first(VM_FOLDED, "paused by the operator");
	core.paused = false;
}

/* With the zero pages they are all that came back; where one VM's are not known, the host's are not. */
static void test_publish_twins_within_and_across_add_up(void **state)
{
	struct target *one = add(1), *two = add(2);
	struct snapshot *snapshot;

	(void)state;
	mark(one);
	mark(two);
	one->reclaimed_bytes = 9 * 4096;
	one->reclaimed_zero_bytes = 2 * 4096;
	one->reclaimed_self_bytes = 4 * 4096;
	two->reclaimed_bytes = 5 * 4096;
	one->exposure_bytes = 9 * 4096;
	two->exposure_bytes = 6 * 4096;
	snapshot = publish_snapshot(&core);
	assert_int_equal(snapshot->vms[0].reclaimed_cross_bytes, 3 * 4096);
	assert_int_equal(snapshot->vms[1].reclaimed_cross_bytes, 5 * 4096);
	assert_int_equal(snapshot->reclaimed_self_bytes, 4 * 4096);
	assert_int_equal(snapshot->reclaimed_cross_bytes, 8 * 4096);
	assert_int_equal(snapshot->exposure_bytes, 15 * 4096);
	assert_int_equal(snapshot->predicted_bytes, NOT_MEASURED);
	(void)snapshot_unref(snapshot);

	two->reclaimed_self_bytes = NOT_MEASURED;
	snapshot = publish_snapshot(&core);
	assert_int_equal(snapshot->vms[0].reclaimed_self_bytes, 4 * 4096);
	assert_int_equal(snapshot->vms[1].reclaimed_cross_bytes, NOT_MEASURED);
	assert_int_equal(snapshot->reclaimed_self_bytes, NOT_MEASURED);
	assert_int_equal(snapshot->reclaimed_cross_bytes, NOT_MEASURED);
	(void)snapshot_unref(snapshot);
}

static void test_publish_partly_ineligible_says_so(void **state)
{
	struct target *target = add(1);

	(void)state;
	target->policy.mode = MODE_OBSERVE;
	target->guest.verdict_bytes[RAM_SHARED] = EXTENT_BYTES;
	assert_first(VM_OBSERVED, ram_verdict_text(RAM_SHARED));
}

static void test_publish_waiting_says_for_what(void **state)
{
	struct target *target = add(1);
	const struct plan_entry entry = {
		.action = PLAN_REVISIT, .pid = 1,
	};
	const struct plan plan = { .entries = (struct plan_entry *)(uintptr_t)&entry, .count = 1 };

	(void)state;
	assert_first(VM_WAITING, "nothing yet");
	core.pass_number = 0;
	assert_first(VM_WAITING, "first time");
	assert_int_equal(plan_copy(&plan, &core.plan), 0);
	assert_first(VM_WAITING, "second time");
	core.paused = true;
	assert_first(VM_WAITING, "paused");
	(void)strcpy(target->policy.group, "db");
	assert_first(VM_WAITING, "its group db is not the active one (web)");
}

static void test_publish_blocked_says_by_whom(void **state)
{
	struct target *target = add(1);

	(void)state;
	sentences_add(&core.blocked_by, "ksmtuned (pid %d) drives ksmd", 7);
	assert_first(VM_BLOCKED, "ksmtuned (pid 7)");
	mark(target);
	assert_first(VM_FOLDED, "ksmtuned (pid 7)");
	(void)strcpy(target->hook_reason, "seccomp says no");
	assert_first(VM_FOLDED, "seccomp says no");
	target->marked_extents = 0;
	target->guest.map.extents[0].marked = false;
	assert_first(VM_BLOCKED, "seccomp says no");
}

static void test_publish_blocked_without_room_for_marks(void **state)
{
	(void)state;
	add(1)->vma_room = 1;
	assert_first(VM_BLOCKED, "vm.max_map_count");
}

static void test_publish_folded_and_folding(void **state)
{
	struct target *target = add(1);

	(void)state;
	mark(target);
	assert_first(VM_FOLDED, NULL);
	core.paused = true;
	assert_first(VM_FOLDED, "paused");
	core.paused = false;
	core.bursting = true;
	assert_first(VM_FOLDING, "ksmd is at work");
	target->guest.map.extents[0].marked = false;
	target->marked_extents = 0;
	assert_first(VM_WAITING, "nothing yet");
}

static void test_publish_trouble_is_the_reason(void **state)
{
	struct target *target = add(1);

	(void)state;
	text_set(&target->trouble, "its memory cannot be read");
	assert_first(VM_WAITING, "its memory cannot be read");
}

/* ---- numbers ---- */

static void test_publish_what_was_not_measured_is_not_zero(void **state)
{
	struct target *target = add(1);
	struct snapshot *snapshot;

	(void)state;
	target->mapped = false;
	snapshot = publish_snapshot(&core);
	assert_int_equal(snapshot->vms[0].ram_bytes, NOT_MEASURED);
	assert_int_equal(snapshot->vms[0].reclaimed_bytes, NOT_MEASURED);
	assert_int_equal(snapshot->vms[0].exposure_bytes, NOT_MEASURED);
	assert_int_equal(snapshot->reclaimed_bytes, NOT_MEASURED);
	assert_int_equal(snapshot->potential_bytes, NOT_MEASURED);
	(void)snapshot_unref(snapshot);
	target->mapped = true;
	snapshot = publish_snapshot(&core);
	assert_int_equal(snapshot->vms[0].ram_bytes, 2 * EXTENT_BYTES);
	assert_int_equal(snapshot->vms[0].pages_scanned, NOT_MEASURED); /* not read yet */
	assert_int_equal(snapshot->vms[0].reclaimed_bytes, 0);
	(void)snapshot_unref(snapshot);
}

static void test_publish_sums_are_those_of_the_vms(void **state)
{
	struct target *one = add(1), *two = add(2);
	struct snapshot *snapshot;

	(void)state;
	one->reclaimed_bytes = 5 * 4096;
	one->reclaimed_zero_bytes = 2 * 4096;
	one->saveable_bytes = 10 * 4096;
	one->sums.pages = 100;
	two->reclaimed_bytes = 7 * 4096;
	two->saveable_bytes = 4096;
	two->sums.pages = 100;
	snapshot = publish_snapshot(&core);
	assert_int_equal(snapshot->reclaimed_bytes, 12 * 4096);
	assert_int_equal(snapshot->reclaimed_zero_bytes, 2 * 4096);
	/* Folded zero pages are read no more, KSM pages are still counted as saveable. */
	assert_int_equal(snapshot->vms[0].potential_bytes, 7 * 4096);
	assert_int_equal(snapshot->vms[1].potential_bytes, 0);
	assert_int_equal(snapshot->potential_bytes, 7 * 4096);
	assert_int_equal(snapshot->memory_bytes, UINT64_C(8) << 30);
	assert_int_equal(snapshot->available_bytes, UINT64_C(4) << 30);
	(void)snapshot_unref(snapshot);
}

static void test_publish_extents_are_those_that_say_something(void **state)
{
	struct target *target = add(1);
	struct snapshot *snapshot;

	(void)state;
	made_pages(&target->guest.map.extents[1], 0, 30, 0);
	extent_prints_free(target->guest.map.extents[0].prints);
	target->guest.map.extents[0].prints = NULL;
	snapshot = publish_snapshot(&core);
	assert_int_equal(snapshot->vms[0].extent_count, 1);
	assert_int_equal(snapshot->vms[0].extents[0].start, MADE_BASE + EXTENT_BYTES);
	assert_int_equal(snapshot->vms[0].extents[0].zeros, 30);
	(void)snapshot_unref(snapshot);
	mark(target);
	snapshot = publish_snapshot(&core);
	assert_int_equal(snapshot->vms[0].extent_count, 2);
	assert_true(snapshot->vms[0].extents[0].folded);
	(void)snapshot_unref(snapshot);
}

static void test_publish_breaks_have_a_price_once_there_is_one(void **state)
{
	struct target *one = add(42), *two = add(43);
	struct snapshot *snapshot;

	(void)state;
	one->cost.broken = (struct break_counts){ 1000, 200 };
	one->cost.hidden = 50;
	two->cost.delay_ns = 3000000;
	two->cost.longest_ns = 2000000;
	core.registry.retired_cost.broken.zero = 7;
	two->guest.map.extents[0].huge_lost = true;
	two->guest.map.extents[0].huge = false;
	two->guest.map.extents[1].huge_lost = true; /* read since, and huge again */
	one->guest.map.extents[1].breaks = 12;
	snapshot = publish_snapshot(&core);
	assert_int_equal(snapshot->vms[0].cow_breaks_estimate, 1250);
	assert_int_equal(snapshot->vms[0].extents[1].breaks, 12);
	assert_int_equal(snapshot->vms[1].cow_breaks_estimate, 0);
	assert_int_equal(snapshot->cow_breaks, 1257);
	assert_int_equal(snapshot->hugepages_lost, 1);
	assert_int_equal(snapshot->cow_break_ns_p50, NOT_MEASURED);
	assert_true(snapshot->vms[0].stall_seconds_estimate < 0);
	assert_true(snapshot->stall_seconds_estimate < 0);
	assert_float_equal(snapshot->vms[1].stall_seconds_estimate, 0.003, 1e-9);
	assert_float_equal(snapshot->vms[1].stall_longest_seconds, 0.002, 1e-9);
	assert_float_equal(snapshot->stall_longest_seconds, 0.002, 1e-9);
	(void)snapshot_unref(snapshot);

	core.canary.ns[0] = 2000;
	core.canary.taken = 1;
	snapshot = publish_snapshot(&core);
	assert_int_equal(snapshot->cow_break_ns_p50, 2000);
	assert_int_equal(snapshot->cow_break_ns_p99, 2000);
	assert_float_equal(snapshot->vms[0].stall_seconds_estimate, 0.0025, 1e-9);
	assert_float_equal(snapshot->stall_seconds_estimate, 0.005514, 1e-9);
	(void)snapshot_unref(snapshot);
}

static void test_publish_host_is_described(void **state)
{
	struct snapshot *snapshot;

	(void)state;
	core.features.have[FEATURE_RING] = core.features.have[FEATURE_COLLAPSE] = true;
	sentences_add(&core.warnings, "beware");
	sentences_add(&core.warnings, "of the dog");
	snapshot = publish_snapshot(&core);
	assert_string_equal(snapshot->active_group, "web");
	assert_string_equal(snapshot->features[0], "ring");
	assert_string_equal(snapshot->features[1], "collapse");
	assert_null(snapshot->features[2]);
	assert_string_equal(snapshot->warnings[1], "of the dog");
	assert_null(snapshot->warnings[2]);
	assert_null(snapshot->blocked_by[0]);
	assert_int_equal(snapshot->pass_number, 3);
	assert_true(snapshot->scan_cpu_seconds >= 0);
	(void)snapshot_unref(snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define PUBLISH_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		PUBLISH_TEST(test_publish_observed),
		PUBLISH_TEST(test_publish_off),
		PUBLISH_TEST(test_publish_off_with_marks_is_still_folded),
		PUBLISH_TEST(test_publish_released),
		PUBLISH_TEST(test_publish_resting_says_for_how_long),
		PUBLISH_TEST(test_publish_ineligible),
		PUBLISH_TEST(test_publish_partly_ineligible_says_so),
		PUBLISH_TEST(test_publish_held_back_says_what_it_waits_for),
		PUBLISH_TEST(test_publish_twins_within_and_across_add_up),
		PUBLISH_TEST(test_publish_waiting_says_for_what),
		PUBLISH_TEST(test_publish_blocked_says_by_whom),
		PUBLISH_TEST(test_publish_blocked_without_room_for_marks),
		PUBLISH_TEST(test_publish_folded_and_folding),
		PUBLISH_TEST(test_publish_trouble_is_the_reason),
		PUBLISH_TEST(test_publish_what_was_not_measured_is_not_zero),
		PUBLISH_TEST(test_publish_sums_are_those_of_the_vms),
		PUBLISH_TEST(test_publish_extents_are_those_that_say_something),
		PUBLISH_TEST(test_publish_breaks_have_a_price_once_there_is_one),
		PUBLISH_TEST(test_publish_host_is_described),
	};

	return cmocka_run_group_tests_name("publish", tests, NULL, NULL);
}
