// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/audit.h"

#include <errno.h>

#include "daemon/foreign.h"
#include "daemon/held_frames.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/made_core.h"

#define OURS      100
#define OTHER     101
#define STRANGER  200
#define NEIGHBOUR 201

/* Documentation/admin-guide/mm/pagemap.rst */
#define PRESENT  (UINT64_C(1) << 63)
#define KPF_KSM  (UINT64_C(1) << 21)
#define KPF_ZERO (UINT64_C(1) << 24)

/* Frames of the made host: what is not said of one is an ordinary page's. */
#define FRAMES 64

static struct fake_root fake;
static struct core core;
static struct interrupt interrupt;
static uint64_t flags[FRAMES];

static int setup(void **state)
{
	(void)state;
	fake_root_init(&fake);
	assert_int_equal(interrupt_init(&interrupt), 0);
	core.root = fake.root;
	core.interrupt = &interrupt;
	(void)strcpy(core.active_group, "web");
	memset(flags, 0, sizeof(flags));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	audit_done(&core.audit);
	made_core_done(&core);
	interrupt_done(&interrupt);
	fake_root_done(&fake);
	return 0;
}

static void write_at(const char *path, const void *bytes, size_t length, uint64_t offset)
{
	char full[512];
	int fd;

	fake_root_make_parents(&fake, path);
	fake_root_path(&fake, path, full);
	fd = open(full, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, length, (off_t)offset), length);
	(void)close(fd);
}

/* The pages of that extent are these frames, up to one that is 0. */
static void page_table(pid_t pid, size_t extent, const uint64_t *frames)
{
	uint64_t entries[EXTENT_PAGES] = { 0 };

	for (size_t i = 0; frames[i]; i++)
		entries[i] = PRESENT | frames[i];
	write_at(fake_host_path(pid, "pagemap"), entries, sizeof(entries),
		(MADE_BASE + extent * EXTENT_BYTES) / PAGE_BYTES * sizeof(uint64_t));
}

static void frames_are(const uint64_t *frames, uint64_t kind)
{
	static const uint64_t counts[FRAMES] = { 0 };

	for (size_t i = 0; frames[i]; i++)
		flags[frames[i]] = kind;
	write_at("/proc/kpageflags", flags, sizeof(flags), 0);
	write_at("/proc/kpagecount", counts, sizeof(counts), 0);
}

/* extents: so many mergeable ones from the first on, with KSM pages in them. */
static void add_process(pid_t pid, size_t extents)
{
	const struct fake_vma vma = {
		.start = MADE_BASE,
		.end = MADE_BASE + extents * EXTENT_BYTES,
		.flags = "rd wr mg",
		.ksm_kib = 4,
	};
	char text[128];

	(void)snprintf(text, sizeof(text),
		"%d (java) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0\n", (int)pid);
	fake_root_write(&fake, fake_host_path(pid, "stat"), text);
	fake_root_write(&fake, fake_host_path(pid, "ksm_stat"), "ksm_mergeable: yes\n");
	fake_host_map(&fake, pid, &vma, 1);
}

static struct target *add_target(pid_t pid, const char *group, size_t extents)
{
	struct target *target = made_target(&core, pid, group, extents);

	add_process(pid, extents);
	frames_are((const uint64_t[]){ 0 }, 0);
	for (size_t i = 0; i < extents; i++) {
		page_table(pid, i, (const uint64_t[]){ 0 });
		target->guest.map.extents[i].marked = true;
	}
	assert_int_equal(pagemap_open(&core.root, pid, false, &target->guest.pagemap), 0);
	return target;
}

static uint64_t compare_one(pid_t pid)
{
	const struct stranger stranger = { .pid = pid, .name = "java" };
	uint64_t count = 77, frames = 77;

	assert_int_equal(audit_compare(&core, &stranger, 1, &count, &frames), 0);
	assert_int_equal(count, frames);
	return frames;
}

/* ---- the list ---- */

static void test_held_frames_of_an_empty_list_meet_nobody(void **state)
{
	struct held_frames list = { 0 };

	(void)state;
	held_frames_sort(&list);
	assert_false(held_frames_meet(&list, 0));
	assert_int_equal(held_frames_count(&list, NULL), 0);
	held_frames_done(&list);
}

static void test_held_frames_are_counted_by_holder_and_once_in_all(void **state)
{
	static const struct {
		uint64_t number;
		uint32_t holder;
	} held[] = { { 9, 0 }, { 7, 1 }, { 9, 1 }, { 7, 1 }, { UINT64_C(1) << 54, 0 }, { 1, 2 } };
	struct held_frames list = { 0 };
	uint64_t counts[3] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(held); i++)
		assert_int_equal(held_frames_add(&list, held[i].number, held[i].holder), 0);
	held_frames_sort(&list);
	assert_int_equal(list.count, 5);
	assert_true(held_frames_meet(&list, 9));
	assert_true(held_frames_meet(&list, 9)); /* twice the same frame of ours */
	assert_true(held_frames_meet(&list, 7));
	assert_true(held_frames_meet(&list, UINT64_C(1) << 54));
	assert_false(held_frames_meet(&list, 8));
	assert_false(held_frames_meet(&list, 0));
	assert_false(held_frames_meet(&list, UINT64_MAX));
	assert_int_equal(held_frames_count(&list, counts), 3);
	assert_int_equal(counts[0], 2);
	assert_int_equal(counts[1], 2);
	assert_int_equal(counts[2], 0);
	held_frames_clear(&list);
	assert_false(held_frames_meet(&list, 9));
	held_frames_done(&list);
}

static void test_held_frames_are_bounded(void **state)
{
	struct held_frames list = { 0 };

	(void)state;
	for (uint64_t i = 0; i < HELD_FRAMES_MOST; i++)
		assert_int_equal(held_frames_add(&list, HELD_FRAMES_MOST - i, 0), 0);
	assert_int_equal(held_frames_add(&list, 5, 0), -ENOSPC);
	held_frames_sort(&list);
	assert_int_equal(list.frames[0].number, 1);
	assert_int_equal(list.count, HELD_FRAMES_MOST);
	held_frames_clear(&list);
	assert_int_equal(held_frames_add(&list, 5, 0), 0);
	held_frames_done(&list);
}

/* ---- the comparison ---- */

static void test_audit_finds_the_frames_a_stranger_shares_and_where(void **state)
{
	struct target *target = add_target(OURS, "web", 3);

	(void)state;
	add_process(STRANGER, 1);
	frames_are((const uint64_t[]){ 5, 6, 7, 8, 0 }, KPF_KSM);
	page_table(OURS, 1, (const uint64_t[]){ 5, 6, 6, 0 });
	page_table(OURS, 2, (const uint64_t[]){ 8, 0 });
	page_table(STRANGER, 0, (const uint64_t[]){ 6, 7, 5, 5, 0 });
	assert_int_equal(compare_one(STRANGER), 2);
	assert_false(target->guest.map.extents[0].exposed);
	assert_true(target->guest.map.extents[1].exposed);
	assert_false(target->guest.map.extents[2].exposed);
	/* Copied apart, nothing is exposed any more. */
	page_table(OURS, 1, (const uint64_t[]){ 8, 8, 8, 0 });
	assert_int_equal(compare_one(STRANGER), 0);
	assert_false(target->guest.map.extents[1].exposed);
}

static void test_audit_exempts_the_zero_page_and_what_no_ksm_made(void **state)
{
	(void)state;
	(void)add_target(OURS, "web", 1);
	add_process(STRANGER, 1);
	frames_are((const uint64_t[]){ 4, 0 }, KPF_ZERO);
	page_table(OURS, 0, (const uint64_t[]){ 4, 9, 0 });
	page_table(STRANGER, 0, (const uint64_t[]){ 4, 9, 0 }); /* 9: by fork */
	assert_int_equal(compare_one(STRANGER), 0);
}

static void test_audit_looks_at_the_active_groups_marks_only(void **state)
{
	struct target *target = add_target(OURS, "db", 1);

	(void)state;
	add_process(STRANGER, 1);
	frames_are((const uint64_t[]){ 5, 0 }, KPF_KSM);
	page_table(OURS, 0, (const uint64_t[]){ 5, 0 });
	page_table(STRANGER, 0, (const uint64_t[]){ 5, 0 });
	assert_int_equal(compare_one(STRANGER), 0);
	(void)strcpy(target->policy.group, "web");
	assert_int_equal(compare_one(STRANGER), 1);
	target->guest.map.extents[0].marked = false;
	assert_int_equal(compare_one(STRANGER), 0);
	/* Mergeable, ours, and not in our power: counted, but nothing that a release would cure. */
	target->guest.map.extents[0].out_of_reach = true;
	assert_int_equal(compare_one(STRANGER), 1);
	assert_false(target->guest.map.extents[0].exposed);
}

/* Observed, with older folds of ours, and since then mergeable in another place. */
static void test_audit_does_not_take_our_own_marks_for_a_strangers(void **state)
{
	struct target *both;

	(void)state;
	(void)add_target(OURS, "web", 1);
	both = add_target(OTHER, "web", 2);
	both->policy.mode = MODE_OBSERVE;
	both->guest.map.extents[1].marked = false;
	frames_are((const uint64_t[]){ 5, 6, 0 }, KPF_KSM);
	page_table(OURS, 0, (const uint64_t[]){ 5, 6, 0 });
	page_table(OTHER, 0, (const uint64_t[]){ 5, 0 });
	assert_int_equal(compare_one(OTHER), 0);
	page_table(OTHER, 1, (const uint64_t[]){ 6, 0 });
	assert_int_equal(compare_one(OTHER), 1);
}

static void test_audit_counts_each_stranger_and_each_frame_once(void **state)
{
	const struct stranger strangers[] = { { .pid = STRANGER }, { .pid = NEIGHBOUR } };
	uint64_t counts[2], frames;

	(void)state;
	(void)add_target(OURS, "web", 1);
	add_process(STRANGER, 1);
	add_process(NEIGHBOUR, 1);
	frames_are((const uint64_t[]){ 5, 6, 7, 0 }, KPF_KSM);
	page_table(OURS, 0, (const uint64_t[]){ 5, 6, 7, 0 });
	page_table(STRANGER, 0, (const uint64_t[]){ 5, 6, 0 });
	page_table(NEIGHBOUR, 0, (const uint64_t[]){ 6, 0 });
	assert_int_equal(audit_compare(&core, strangers, 2, counts, &frames), 0);
	assert_int_equal(counts[0], 2);
	assert_int_equal(counts[1], 1);
	assert_int_equal(frames, 2);
}

static void test_audit_of_a_stranger_that_has_ended_finds_nothing(void **state)
{
	(void)state;
	(void)add_target(OURS, "web", 1);
	assert_int_equal(compare_one(STRANGER), 0);
}

static void test_audit_that_may_not_see_frames_is_an_error(void **state)
{
	const struct stranger stranger = { .pid = STRANGER };
	uint64_t count, frames = 77;

	(void)state;
	add_process(STRANGER, 1);
	page_table(STRANGER, 0, (const uint64_t[]){ 5, 0 });
	assert_int_equal(audit_compare(&core, &stranger, 1, &count, &frames), -EPERM);
	assert_int_equal(frames, 77);
}

/* ---- when ---- */

static void test_audit_after_a_burst_without_strangers_is_over_at_once(void **state)
{
	(void)state;
	(void)add_target(OURS, "web", 1);
	audit_burst_begins(&core);
	assert_true(core.audit.due);
	audit_burst_ended(&core);
	assert_false(core.audit.due || core.audit.at_once);
}

static void test_audit_is_due_at_once_where_a_stranger_was_there(void **state)
{
	(void)state;
	(void)add_target(OURS, "web", 1);
	add_process(STRANGER, 1);
	page_table(STRANGER, 0, (const uint64_t[]){ 0 });
	frames_are((const uint64_t[]){ 0 }, 0);
	audit_burst_begins(&core);
	audit_burst_ended(&core);
	assert_true(core.audit.due && core.audit.at_once);
	/* It has nothing of ours. */
	audit_take(&core);
	assert_false(core.audit.due || core.audit.at_once);
	assert_int_equal(core.findings.count, 0);
}

/* The copies cannot be made: nothing that can be attached to is here. */
static void test_audit_that_cannot_put_it_right_says_so_and_stays_due(void **state)
{
	(void)state;
	add_target(OURS, "web", 1)->hook_retry_ns = UINT64_MAX;
	add_process(STRANGER, 1);
	frames_are((const uint64_t[]){ 5, 0 }, KPF_KSM);
	page_table(OURS, 0, (const uint64_t[]){ 5, 0 });
	page_table(STRANGER, 0, (const uint64_t[]){ 5, 0 });
	core.audit.due = true;
	audit_take(&core);
	assert_true(core.audit.due);
	assert_false(core.audit.at_once); /* with every pass, not all the time */
	assert_int_equal(core.audit.frames, 1);
	assert_int_equal(core.audit.left, 1);
	assert_int_equal(core.findings.count, 1);
	assert_non_null(strstr(core.findings.texts[0], "java (pid 200): 1"));
	assert_non_null(strstr(core.findings.texts[0], "vm100 (pid 100)"));
	/* The same is not counted twice. */
	audit_take(&core);
	assert_int_equal(core.audit.frames, 1);
	/* It has ended. */
	fake_host_remove(&fake, STRANGER);
	sentences_clear(&core.findings);
	audit_take(&core);
	assert_false(core.audit.due);
	assert_int_equal(core.findings.count, 0);
}

static void test_audit_finding_is_shown_for_a_while(void **state)
{
	(void)state;
	core.audit.finding = strdup("what was found");
	core.audit.finding_until_ns = UINT64_MAX;
	audit_take(&core);
	assert_int_equal(core.findings.count, 1);
	assert_string_equal(core.findings.texts[0], "what was found");
	sentences_clear(&core.findings);
	core.audit.finding_until_ns = 0;
	audit_take(&core);
	assert_int_equal(core.findings.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_held_frames_of_an_empty_list_meet_nobody),
		cmocka_unit_test(test_held_frames_are_counted_by_holder_and_once_in_all),
		cmocka_unit_test(test_held_frames_are_bounded),
#define AUDIT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		AUDIT_TEST(test_audit_finds_the_frames_a_stranger_shares_and_where),
		AUDIT_TEST(test_audit_exempts_the_zero_page_and_what_no_ksm_made),
		AUDIT_TEST(test_audit_looks_at_the_active_groups_marks_only),
		AUDIT_TEST(test_audit_does_not_take_our_own_marks_for_a_strangers),
		AUDIT_TEST(test_audit_counts_each_stranger_and_each_frame_once),
		AUDIT_TEST(test_audit_of_a_stranger_that_has_ended_finds_nothing),
		AUDIT_TEST(test_audit_that_may_not_see_frames_is_an_error),
		AUDIT_TEST(test_audit_after_a_burst_without_strangers_is_over_at_once),
		AUDIT_TEST(test_audit_is_due_at_once_where_a_stranger_was_there),
		AUDIT_TEST(test_audit_that_cannot_put_it_right_says_so_and_stays_due),
		AUDIT_TEST(test_audit_finding_is_shown_for_a_while),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
