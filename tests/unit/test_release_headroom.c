// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/release.h"

#include <errno.h>

#include "tests/unit/fake_root.h"

#define PID      4711
#define MIB      (UINT64_C(1) << 20)
#define MOUNTS   "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
#define VM_GROUP "/sys/fs/cgroup/machine/vm/"

static struct fake_root fake;
static struct core core;

static void meminfo(unsigned total_mib, unsigned available_mib)
{
	char text[256];

	(void)snprintf(text, sizeof(text),
		"MemTotal: %u kB\nMemAvailable: %u kB\nAnonPages: 0 kB\n", total_mib << 10,
		available_mib << 10);
	fake_root_write(&fake, "/proc/meminfo", text);
}

/* 8 GiB, of which 4 are available; no limit on the process. */
static int setup(void **state)
{
	(void)state;
	fake_root_init(&fake);
	core.root = fake.root;
	meminfo(8192, 4096);
	fake_root_write(&fake, "/proc/self/mountinfo", MOUNTS);
	fake_root_write(&fake, "/proc/4711/cgroup", "0::/machine/vm\n");
	fake_root_write(&fake, VM_GROUP "memory.max", "max\n");
	fake_root_write(&fake, VM_GROUP "memory.current", "0\n");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_root_done(&fake);
	return 0;
}

/* says NULL: there is room. */
static void assert_headroom(uint64_t need_bytes, int error, const char *says)
{
	char *reason = (char *)(uintptr_t)"untouched";

	assert_int_equal(release_headroom(&core, PID, need_bytes, &reason), error);
	if (!says) {
		assert_null(reason);
		return;
	}
	assert_non_null(reason);
	if (!strstr(reason, says))
		fail_msg("\"%s\" is not in \"%s\"", says, reason);
	free(reason);
}

static void test_headroom_keeps_a_reserve_of_the_host(void **state)
{
	(void)state;
	/* A twentieth of 8192 MiB is 409.6 MiB: 3686.4 of 4096 may be taken. */
	assert_headroom(0, 0, NULL);
	assert_headroom(3686 * MIB, 0, NULL);
	assert_headroom(3687 * MIB, -ENOSPC,
		"it needs 3687 MiB, and the host has 4096 MiB available, of which 410 MiB are kept");
}

static void test_headroom_keeps_128_mib_of_a_small_host(void **state)
{
	(void)state;
	meminfo(1024, 256);
	assert_headroom(128 * MIB, 0, NULL);
	assert_headroom(128 * MIB + 1, -ENOSPC, "128 MiB are kept");
	meminfo(1024, 100);
	assert_headroom(1, -ENOSPC, "it needs 1 MiB");
}

static void test_headroom_of_the_cgroup_is_needed_too(void **state)
{
	(void)state;
	fake_root_write(&fake, VM_GROUP "memory.max", "1073741824\n");
	fake_root_write(&fake, VM_GROUP "memory.current", "1063256064\n");
	assert_headroom(10 * MIB, 0, NULL);
	assert_headroom(10 * MIB + 1, -ENOSPC,
		"the memory cgroup of process 4711 has room for 10 MiB");
}

static void test_headroom_of_the_cgroups_above_counts(void **state)
{
	(void)state;
	fake_root_write(&fake, "/sys/fs/cgroup/machine/memory.max", "104857600\n");
	fake_root_write(&fake, "/sys/fs/cgroup/machine/memory.current", "104857600\n");
	assert_headroom(0, 0, NULL);
	assert_headroom(1, -ENOSPC, "room for 0 MiB");
}

static void test_headroom_that_cannot_be_read_is_none(void **state)
{
	(void)state;
	fake_root_write(&fake, "/proc/meminfo", "hostile");
	assert_headroom(0, -EINVAL, "cannot be read");
	meminfo(8192, 4096);
	fake_root_write(&fake, "/proc/4711/cgroup", "0::/../elsewhere\n");
	assert_headroom(0, -EXDEV, "cannot be read");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define HEADROOM_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		HEADROOM_TEST(test_headroom_keeps_a_reserve_of_the_host),
		HEADROOM_TEST(test_headroom_keeps_128_mib_of_a_small_host),
		HEADROOM_TEST(test_headroom_of_the_cgroup_is_needed_too),
		HEADROOM_TEST(test_headroom_of_the_cgroups_above_counts),
		HEADROOM_TEST(test_headroom_that_cannot_be_read_is_none),
	};

	return cmocka_run_group_tests_name("release_headroom", tests, NULL, NULL);
}
