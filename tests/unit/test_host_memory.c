// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/host_memory.h"

#include <errno.h>
#include <limits.h>

#include "hypervisor-glue/memcg.h"
#include "tests/unit/fake_root.h"

#define MIB(n) (UINT64_C(n) << 20)
#define V1_MAX "9223372036854771712\n"

static const char meminfo[] = "MemTotal:       24684084 kB\n"
			      "MemFree:        24114364 kB\n"
			      "MemAvailable:   24338812 kB\n"
			      "SwapCached:            1 kB\n"
			      "SwapTotal:             2 kB\n"
			      "SwapFree:              3 kB\n"
			      "AnonPages:         16004 kB\n"
			      "AnonHugePages:      2048 kB\n"
			      "HugePages_Total:       0\n"
			      "DirectMap1G:    23068672 kB\n";

static void test_meminfo_is_read(void **state)
{
	struct host_memory memory;

	(void)state;
	assert_int_equal(host_memory_parse(meminfo, &memory), 0);
	assert_int_equal(memory.total_bytes, UINT64_C(24684084) << 10);
	assert_int_equal(memory.available_bytes, UINT64_C(24338812) << 10);
	assert_int_equal(memory.swap_free_bytes, 3 << 10);
	assert_int_equal(memory.anon_bytes, 16004 << 10);
	assert_int_equal(memory.anon_huge_bytes, 2048 << 10);
}

static void test_meminfo_without_huge_pages_and_swap_is_fine(void **state)
{
	struct host_memory memory;

	(void)state;
	assert_int_equal(
		host_memory_parse("MemTotal: 3 kB\nMemAvailable: 2 kB\nAnonPages: 1 kB", &memory),
		0);
	assert_int_equal(memory.anon_bytes, 1 << 10);
	assert_int_equal(memory.anon_huge_bytes, 0);
	assert_int_equal(memory.swap_free_bytes, 0);
}

static void test_meminfo_hostile_text_is_refused(void **state)
{
	static const char *const cases[] = {
		"",
		"MemTotal: 3 kB\nMemAvailable: 2 kB\n",
		"MemTotal: kB\nMemAvailable: 2 kB\nAnonPages: 1 kB\n",
		"MemTotal: 3\nMemAvailable: 2 kB\nAnonPages: 1 kB\n",
		"MemTotal: 3 MB\nMemAvailable: 2 kB\nAnonPages: 1 kB\n",
		"MemTotal: -3 kB\nMemAvailable: 2 kB\nAnonPages: 1 kB\n",
		"MemTotal: 3 kB \nMemAvailable: 2 kB\nAnonPages: 1 kB\n",
		"MemTotal: 18446744073709551615 kB\nMemAvailable: 2 kB\nAnonPages: 1 kB\n",
		"MemTotal: 99999999999999999999999 kB\nMemAvailable: 2 kB\nAnonPages: 1 kB\n",
		"MemTotal:",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct host_memory memory;

		assert_int_equal(host_memory_parse(cases[i], &memory), -EINVAL);
	}
}

static const char hybrid_mounts[] =
	"22 27 0:21 / /proc rw,relatime - proc proc rw\n"
	"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
	"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
	"35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 master:1 - cgroup cgroup rw,memory\n"
	"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";

static void test_memcg_path_is_found_in_both_versions(void **state)
{
	static const struct {
		const char *cgroup, *mounts;
		enum memcg_version version;
		int result;
		const char *path;
	} cases[] = {
		{ "4:memory:/a/b\n0::/c\n", hybrid_mounts, MEMCG_V1, 0,
			"/sys/fs/cgroup/memory/a/b" },
		{ "4:memory:/a/b\n0::/c\n", hybrid_mounts, MEMCG_V2, 0,
			"/sys/fs/cgroup/unified/c" },
		{ "4:cpu,memory:/\n", hybrid_mounts, MEMCG_V1, 0, "/sys/fs/cgroup/memory" },
		{ "4:cpu:/a\n0::/c\n", hybrid_mounts, MEMCG_V1, -ENOENT, NULL },
		{ "4:memory:/a\n", hybrid_mounts, MEMCG_V2, -ENOENT, NULL },
		{ "1:name=memory:/a\n", hybrid_mounts, MEMCG_V1, -ENOENT, NULL },
		{ "0::/c\n", "", MEMCG_V2, -ENOENT, NULL },
		{ "0::/c\n", "1 2 0:3 / /my\\040\\134cg rw - cgroup2 x rw\n", MEMCG_V2, 0,
			"/my \\cg/c" },
		{ "0::/pod/c\n", "1 2 0:3 /pod /cg rw - cgroup2 x rw\n", MEMCG_V2, 0, "/cg/c" },
		{ "0::/pod\n", "1 2 0:3 /pod /cg rw - cgroup2 x rw\n", MEMCG_V2, 0, "/cg" },
		{ "0::/podium\n", "1 2 0:3 /pod /cg rw - cgroup2 x rw\n", MEMCG_V2, -EXDEV, NULL },
		{ "0::/../other\n", "1 2 0:3 / /cg rw - cgroup2 x rw\n", MEMCG_V2, -EXDEV, NULL },
		{ "0::/..\n", "1 2 0:3 / /cg rw - cgroup2 x rw\n", MEMCG_V2, -EXDEV, NULL },
		{ "0::/..a\n", "1 2 0:3 / /cg rw - cgroup2 x rw\n", MEMCG_V2, 0, "/cg/..a" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct memcg_path path;

		assert_int_equal(
			memcg_path_find(cases[i].cgroup, cases[i].mounts, cases[i].version, &path),
			cases[i].result);
		if (cases[i].path)
			assert_string_equal(path.path, cases[i].path);
	}
}

static void test_memcg_hostile_text_is_refused(void **state)
{
	static const struct {
		const char *cgroup, *mounts;
	} cases[] = {
		{ "", hybrid_mounts },
		{ ":::::\n", hybrid_mounts },
		{ "0::relative\n", hybrid_mounts },
		{ "0::\n", hybrid_mounts },
		{ "0\n", hybrid_mounts },
		{ "0::/c\n", "\n\n - cgroup2" },
		{ "0::/c\n", "1 2 0:3 / /cg rw cgroup2 x rw\n" },
		{ "0::/c\n", "1 2 0:3 / /cg\\04 rw - cgroup2 x rw\n" },
		{ "0::/c\n", "1 2 0:3 / /cg\\ rw - cgroup2 x rw\n" },
		{ "0::/c\n", "1 2 0:3 / /cg\\777 rw - cgroup2 x rw\n" },
		{ "0::/c\n", "1 2 0:3 / /cg\\000 rw - cgroup2 x rw\n" },
		{ "0::/c\n", "1 2 0:3 / cg rw - cgroup2 x rw\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct memcg_path path;

		assert_true(memcg_path_find(cases[i].cgroup, cases[i].mounts, MEMCG_V2, &path) < 0);
	}
}

static void test_memcg_endless_paths_are_refused(void **state)
{
	char *const cgroup = malloc(9000), *const mounts = malloc(9000);
	struct memcg_path path;

	(void)state;
	assert_true(cgroup && mounts);
	memset(cgroup, 'a', 8999);
	memcpy(cgroup, "0::/", 4);
	cgroup[8999] = '\0';
	assert_true(memcg_path_find(cgroup, hybrid_mounts, MEMCG_V2, &path) < 0);
	memset(mounts, 'a', 8999);
	memcpy(mounts, "1 2 0:3 / /", 11);
	memcpy(mounts + 8000, " rw - cgroup2 x rw", 19);
	assert_true(memcg_path_find("0::/c\n", mounts, MEMCG_V2, &path) < 0);
	free(cgroup);
	free(mounts);
}

static void test_memcg_room_is_limit_less_usage(void **state)
{
	static const struct {
		const char *limit, *usage;
		int result;
		uint64_t bytes;
	} cases[] = {
		{ "max\n", "1\n", 0, MEMCG_UNLIMITED },
		{ V1_MAX, "1\n", 0, MEMCG_UNLIMITED },
		{ "9223372036854775807\n", "1\n", 0, MEMCG_UNLIMITED },
		{ "100\n", "30\n", 0, 70 },
		{ "100", "30", 0, 70 },
		{ "100\n", "100\n", 0, 0 },
		{ "100\n", "130\n", 0, 0 },
		{ "maximum\n", "1\n", -EINVAL, 0 },
		{ "-1\n", "1\n", -EINVAL, 0 },
		{ "", "1\n", -EINVAL, 0 },
		{ "1\n", "", -EINVAL, 0 },
		{ "99999999999999999999999999999\n", "1\n", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t bytes = 0;

		assert_int_equal(
			memcg_room_parse(cases[i].limit, cases[i].usage, &bytes), cases[i].result);
		assert_int_equal(bytes, cases[i].bytes);
	}
}

static void write_level(const struct fake_root *fake, const char *directory, const char *names[2],
	const char *limit, const char *usage)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", directory, names[0]);
	fake_root_write(fake, path, limit);
	(void)snprintf(path, sizeof(path), "%s/%s", directory, names[1]);
	fake_root_write(fake, path, usage);
}

static void test_headroom_is_the_least_on_the_way_up_v2(void **state)
{
	const char *names[] = { "memory.max", "memory.current" };
	struct fake_root fake;
	uint64_t bytes;

	(void)state;
	fake_root_init(&fake);
	fake_root_write(&fake, "/proc/7/cgroup", "0::/machine/vm/inner\n");
	fake_root_write(&fake, "/proc/self/mountinfo",
		"1 2 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
	write_level(&fake, "/sys/fs/cgroup/machine/vm/inner", names, "max\n", "1048576\n");
	write_level(&fake, "/sys/fs/cgroup/machine/vm", names, "104857600\n", "1048576\n");
	assert_int_equal(memcg_headroom_read(&fake.root, 7, &bytes), 0);
	assert_int_equal(bytes, MIB(99));
	write_level(&fake, "/sys/fs/cgroup/machine", names, "52428800\n", "42991616\n");
	assert_int_equal(memcg_headroom_read(&fake.root, 7, &bytes), 0);
	assert_int_equal(bytes, MIB(9));
	/* Above the mount point nothing counts. */
	write_level(&fake, "/sys/fs", names, "0\n", "0\n");
	assert_int_equal(memcg_headroom_read(&fake.root, 7, &bytes), 0);
	assert_int_equal(bytes, MIB(9));
	fake_root_done(&fake);
}

static void test_headroom_of_a_hybrid_host_is_v1s(void **state)
{
	const char *names[] = { "memory.limit_in_bytes", "memory.usage_in_bytes" };
	struct fake_root fake;
	uint64_t bytes;

	(void)state;
	fake_root_init(&fake);
	fake_root_write(&fake, "/proc/7/cgroup", "4:memory:/vm\n0::/\n");
	fake_root_write(&fake, "/proc/self/mountinfo", hybrid_mounts);
	write_level(&fake, "/sys/fs/cgroup/memory/vm", names, "104857600\n", "1048576\n");
	write_level(&fake, "/sys/fs/cgroup/memory", names, V1_MAX, "1048576\n");
	assert_int_equal(memcg_headroom_read(&fake.root, 7, &bytes), 0);
	assert_int_equal(bytes, MIB(99));
	fake_root_done(&fake);
}

static void test_headroom_has_the_clean_cache_of_files_in_it(void **state)
{
	static const struct {
		enum memcg_version version;
		const char *stat;
		uint64_t bytes;
	} cases[] = {
		{ MEMCG_V2, "", 0 },
		{ MEMCG_V2, "anon 5\nactive_file 300\ninactive_file 40\n", 340 },
		{ MEMCG_V2, "active_file 300\ninactive_file 40\nfile_dirty 10\nfile_writeback 5", 325 },
		{ MEMCG_V2, "active_file 3\nfile_dirty 10\n", 0 },
		{ MEMCG_V2, "active_file x\ninactive_file 99999999999999999999999\n", 0 },
		{ MEMCG_V1, "active_file 300\ninactive_file 40\n", 0 },
		{ MEMCG_V1, "active_file 1\ntotal_active_file 300\ntotal_inactive_file 40\n"
			    "total_dirty 10\ntotal_writeback 5\n", 325 },
	};
	const char *names[] = { "memory.limit_in_bytes", "memory.usage_in_bytes" };
	struct fake_root fake;
	uint64_t bytes;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(memcg_reclaimable_parse(cases[i].stat, cases[i].version), cases[i].bytes);
	fake_root_init(&fake);
	fake_root_write(&fake, "/proc/7/cgroup", "4:memory:/vm\n0::/\n");
	fake_root_write(&fake, "/proc/self/mountinfo", hybrid_mounts);
	write_level(&fake, "/sys/fs/cgroup/memory/vm", names, "104857600\n", "104857600\n");
	write_level(&fake, "/sys/fs/cgroup/memory", names, V1_MAX, "104857600\n");
	fake_root_write(&fake, "/sys/fs/cgroup/memory/vm/memory.stat",
		"total_active_file 20971520\ntotal_inactive_file 41943040\ntotal_dirty 1048576\n");
	assert_int_equal(memcg_headroom_read(&fake.root, 7, &bytes), 0);
	assert_int_equal(bytes, MIB(59));
	fake_root_done(&fake);
}

static void test_headroom_without_a_controller_is_unlimited(void **state)
{
	struct fake_root fake;
	uint64_t bytes = 0;

	(void)state;
	fake_root_init(&fake);
	fake_root_write(&fake, "/proc/7/cgroup", "0::/vm\n");
	fake_root_write(&fake, "/proc/self/mountinfo", "");
	assert_int_equal(memcg_headroom_read(&fake.root, 7, &bytes), 0);
	assert_true(bytes == MEMCG_UNLIMITED);
	assert_int_equal(memcg_headroom_read(&fake.root, 8, &bytes), -ESRCH);
	fake_root_write(&fake, "/proc/7/cgroup", "0::/../vm\n");
	fake_root_write(&fake, "/proc/self/mountinfo", hybrid_mounts);
	assert_int_equal(memcg_headroom_read(&fake.root, 7, &bytes), -EXDEV);
	fake_root_done(&fake);
}

static void test_thp_mode_is_the_word_in_brackets(void **state)
{
	static const struct {
		const char *text;
		int result;
		enum thp_mode mode;
	} cases[] = {
		{ "always madvise [never]\n", 0, THP_NEVER },
		{ "always [madvise] never\n", 0, THP_MADVISE },
		{ "[always] madvise never\n", 0, THP_ALWAYS },
		{ "always madvise never\n", -EINVAL, THP_NEVER },
		{ "", -EINVAL, THP_NEVER },
	};
	struct fake_root fake;
	enum thp_mode mode;

	(void)state;
	fake_root_init(&fake);
	assert_int_equal(thp_mode_read(&fake.root, &mode), -ENOENT);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_root_write(
			&fake, "/sys/kernel/mm/transparent_hugepage/enabled", cases[i].text);
		assert_int_equal(thp_mode_read(&fake.root, &mode), cases[i].result);
		if (cases[i].result == 0)
			assert_int_equal(mode, cases[i].mode);
	}
	fake_root_done(&fake);
}

static void test_boot_id_and_map_count_are_checked(void **state)
{
	struct fake_root fake;
	char id[BOOT_ID_BYTES];
	uint64_t count;

	(void)state;
	fake_root_init(&fake);
	fake_root_write(
		&fake, "/proc/sys/kernel/random/boot_id", "32ed65c9-f44b-41cc-aa94-ac64d3f0d634\n");
	fake_root_write(&fake, "/proc/sys/vm/max_map_count", "65530\n");
	assert_int_equal(boot_id_read(&fake.root, id), 0);
	assert_string_equal(id, "32ed65c9-f44b-41cc-aa94-ac64d3f0d634");
	assert_int_equal(max_map_count_read(&fake.root, &count), 0);
	assert_int_equal(count, 65530);
	fake_root_write(
		&fake, "/proc/sys/kernel/random/boot_id", "32ed65c9/f44b-41cc-aa94-ac64d3f0d634\n");
	fake_root_write(&fake, "/proc/sys/vm/max_map_count", "many\n");
	assert_int_equal(boot_id_read(&fake.root, id), -EINVAL);
	assert_int_equal(max_map_count_read(&fake.root, &count), -EINVAL);
	fake_root_write(&fake, "/proc/sys/kernel/random/boot_id", "");
	assert_int_equal(boot_id_read(&fake.root, id), -EINVAL);
	fake_root_done(&fake);
}

static void test_this_host_can_be_read(void **state)
{
	struct host_memory memory;
	struct host_root root;
	char id[BOOT_ID_BYTES];
	uint64_t bytes, count;

	(void)state;
	assert_int_equal(host_root_open("", &root), 0);
	assert_int_equal(host_memory_read(&root, &memory), 0);
	assert_true(memory.available_bytes <= memory.total_bytes);
	assert_int_equal(memcg_headroom_read(&root, getpid(), &bytes), 0);
	assert_int_equal(memcg_headroom_read(&root, INT_MAX, &bytes), -ESRCH);
	assert_int_equal(boot_id_read(&root, id), 0);
	assert_int_equal(max_map_count_read(&root, &count), 0);
	host_root_done(&root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_meminfo_is_read),
		cmocka_unit_test(test_meminfo_without_huge_pages_and_swap_is_fine),
		cmocka_unit_test(test_meminfo_hostile_text_is_refused),
		cmocka_unit_test(test_memcg_path_is_found_in_both_versions),
		cmocka_unit_test(test_memcg_hostile_text_is_refused),
		cmocka_unit_test(test_memcg_endless_paths_are_refused),
		cmocka_unit_test(test_memcg_room_is_limit_less_usage),
		cmocka_unit_test(test_headroom_is_the_least_on_the_way_up_v2),
		cmocka_unit_test(test_headroom_of_a_hybrid_host_is_v1s),
		cmocka_unit_test(test_headroom_has_the_clean_cache_of_files_in_it),
		cmocka_unit_test(test_headroom_without_a_controller_is_unlimited),
		cmocka_unit_test(test_thp_mode_is_the_word_in_brackets),
		cmocka_unit_test(test_boot_id_and_map_count_are_checked),
		cmocka_unit_test(test_this_host_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
