// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/features.h"

#include <errno.h>

#include "hypervisor-glue/ksm.h"
#include "hypervisor-glue/smaps.h"
#include "tests/unit/fake_host.h"

static const bool nothing_disabled[FEATURE_COUNT];

/* A fake host with this very process on it. */
static int setup(void **state)
{
	struct fake_root *fake = calloc(1, sizeof(*fake));

	fake_host_init(fake);
	fake_host_add_ksm(fake);
	fake_root_link(fake, fake_host_path(getpid(), "pagemap"), "/proc/self/pagemap");
	fake_root_write(fake, fake_host_path(getpid(), "smaps"),
		"7f0000000000-7f0000200000 rw-p 00000000 00:00 0 \nRss: 4 kB\nKSM: 0 kB\n"
		"VmFlags: rd wr \n");
	*state = fake;
	return 0;
}

static int teardown(void **state)
{
	fake_root_done(*state);
	free(*state);
	return 0;
}

static struct features probe(struct fake_root *fake, const bool *disabled)
{
	struct features features;

	/* Every one must be written. */
	memset(&features, 0xff, sizeof(features));
	features_probe(&fake->root, disabled, &features);
	return features;
}

static void remove_file(const struct fake_root *fake, const char *path)
{
	char full[512];

	fake_root_path(fake, path, full);
	assert_int_equal(unlink(full), 0);
}

static void test_feature_names_go_both_ways(void **state)
{
	(void)state;
	for (int i = 0; i < FEATURE_COUNT; i++) {
		enum feature feature = FEATURE_COUNT;

		assert_int_equal(feature_parse(feature_name((enum feature)i), &feature), 0);
		assert_int_equal(feature, i);
	}
}

static void test_feature_names_must_be_exact(void **state)
{
	static const char *const cases[] = { "", "rin", "rings", "Ring", " ring", "ring ", "-" };
	enum feature feature = FEATURE_COUNT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(feature_parse(cases[i], &feature), -EINVAL);
	assert_int_equal(feature, FEATURE_COUNT);
}

static void test_features_of_a_new_kernel_are_all_there(void **state)
{
	const struct features features = probe(*state, nothing_disabled);

	assert_true(features.have[FEATURE_SMAPS_KSM]);
	assert_true(features.have[FEATURE_SMART_SCAN]);
	assert_true(features.have[FEATURE_KSM_ZERO_PAGES]);
	assert_true(features.have[FEATURE_RING]);
}

static void test_features_of_an_old_kernel_are_missing(void **state)
{
	struct fake_root *fake = *state;
	struct features features;

	remove_file(fake, "/sys/kernel/mm/ksm/smart_scan");
	remove_file(fake, "/sys/kernel/mm/ksm/ksm_zero_pages");
	remove_file(fake, "/sys/kernel/mm/ksm/advisor_mode");
	remove_file(fake, "/sys/kernel/mm/ksm/pages_scanned");
	remove_file(fake, "/proc/sys/kernel/io_uring_disabled");
	fake_root_write(fake, fake_host_path(getpid(), "smaps"),
		"7f0000000000-7f0000200000 rw-p 00000000 00:00 0 \nRss: 4 kB\nVmFlags: rd wr \n");
	features = probe(fake, nothing_disabled);
	assert_false(features.have[FEATURE_SMAPS_KSM]);
	assert_false(features.have[FEATURE_SMART_SCAN]);
	assert_false(features.have[FEATURE_KSM_ZERO_PAGES]);
	assert_true(features.have[FEATURE_RING]); /* there was no switch for it then */
}

static void test_features_without_ksm_or_proc_are_none_and_no_crash(void **state)
{
	struct fake_root empty;
	struct features features;

	(void)state;
	fake_root_init(&empty);
	features = probe(&empty, nothing_disabled);
	assert_false(features.have[FEATURE_PAGEMAP_SCAN]);
	assert_false(features.have[FEATURE_SMAPS_KSM]);
	assert_false(features.have[FEATURE_SMART_SCAN]);
	assert_false(features.have[FEATURE_KSM_ZERO_PAGES]);
	fake_root_done(&empty);
}

static void test_feature_ring_follows_the_kernels_switch(void **state)
{
	static const struct {
		const char *text;
		bool have;
	} cases[] = {
		{ "0\n", true },
		{ "1\n", true }, /* judged on the target's credentials */
		{ "2\n", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_root_write(*state, "/proc/sys/kernel/io_uring_disabled", cases[i].text);
		assert_int_equal(
			probe(*state, nothing_disabled).have[FEATURE_RING], cases[i].have);
	}
}

static void test_features_that_are_disabled_are_not_there_and_the_others_stay(void **state)
{
	const struct features all = probe(*state, nothing_disabled);

	for (int off = 0; off < FEATURE_COUNT; off++) {
		bool disabled[FEATURE_COUNT] = { false };
		struct features features;

		disabled[off] = true;
		features = probe(*state, disabled);
		for (int i = 0; i < FEATURE_COUNT; i++)
			assert_int_equal(features.have[i], i != off && all.have[i]);
	}
}

/* Not only in what is reported: whatever reads the host finds a kernel without it. */
static void test_features_that_are_disabled_are_hidden_from_every_reader(void **state)
{
	struct fake_root *fake = *state;
	bool disabled[FEATURE_COUNT] = { [FEATURE_SMAPS_KSM] = true, [FEATURE_SMART_SCAN] = true,
		[FEATURE_KSM_ZERO_PAGES] = true };
	struct ksm_counters counters;
	struct process_ksm process;
	struct smaps_list smaps;
	struct ksm_knobs knobs;

	fake_root_write(fake, fake_host_path(getpid(), "smaps"),
		"7f0000000000-7f0000200000 rw-p 00000000 00:00 0 \nRss: 4 kB\nKSM: 4 kB\n"
		"VmFlags: rd wr mg \n");
	fake_root_write(fake, fake_host_path(getpid(), "ksm_stat"), "ksm_zero_pages 7\nksm_rmap_items 3\n");
	(void)probe(fake, disabled);
	assert_int_equal(ksm_knobs_read(&fake->root, &knobs), 0);
	assert_int_equal(knobs.smart_scan, KSM_KNOB_ABSENT);
	assert_int_equal(knobs.pages_to_scan, 100);
	assert_int_equal(ksm_counters_read(&fake->root, &counters), 0);
	assert_int_equal(counters.ksm_zero_pages, KSM_KNOB_ABSENT);
	assert_int_equal(process_ksm_read(&fake->root, getpid(), &process), 0);
	assert_int_equal(process.zero_pages, KSM_KNOB_ABSENT);
	assert_int_equal(process.rmap_items, 3);
	assert_int_equal(smaps_read(&fake->root, getpid(), &smaps), 0);
	assert_false(smaps.has_ksm);
	assert_int_equal(smaps.vmas[0].ksm_bytes, 0);
	assert_int_equal(smaps.vmas[0].rss_bytes, 4096);
	assert_true(smaps.vmas[0].flags & VMA_MERGEABLE);
	smaps_list_done(&smaps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define FEATURES_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		cmocka_unit_test(test_feature_names_go_both_ways),
		cmocka_unit_test(test_feature_names_must_be_exact),
		FEATURES_TEST(test_features_of_a_new_kernel_are_all_there),
		FEATURES_TEST(test_features_of_an_old_kernel_are_missing),
		FEATURES_TEST(test_features_without_ksm_or_proc_are_none_and_no_crash),
		FEATURES_TEST(test_feature_ring_follows_the_kernels_switch),
		FEATURES_TEST(test_features_that_are_disabled_are_hidden_from_every_reader),
		FEATURES_TEST(test_features_that_are_disabled_are_not_there_and_the_others_stay),
	};

	return cmocka_run_group_tests_name("features", tests, NULL, NULL);
}
