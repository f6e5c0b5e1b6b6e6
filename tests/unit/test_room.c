// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/room.h"

#include <errno.h>

#include "hypervisor-glue/host_memory.h"
#include "tests/unit/fake_root.h"
#include "tests/unit/made_core.h"

#define MAX_MAP_COUNT 65530
#define MAPPINGS_ROOM (MAX_MAP_COUNT - MAX_MAP_COUNT / 4)
#define KIB           1024ULL
#define MIB           (1024 * KIB)

static struct fake_root fake;
static struct core core;
static struct target *target;

static int setup(void **state)
{
	(void)state;
	fake_root_init(&fake);
	fake_root_write(&fake, "/proc/self/mountinfo", "41 31 0:38 / /cg rw - cgroup2 cgroup2 rw\n");
	fake_root_write(&fake, "/proc/4711/cgroup", "0::/vm\n");
	fake_root_write(&fake, "/cg/vm/memory.current", "1048576\n");
	core = (struct core){ .root = fake.root, .active_group = "web" };
	target = made_target(&core, 4711, "web", 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	made_core_done(&core);
	fake_root_done(&fake);
	return 0;
}

static void leave(uint64_t bytes)
{
	char limit[32];

	(void)snprintf(limit, sizeof(limit), "%llu\n", MIB + (unsigned long long)bytes);
	fake_root_write(&fake, "/cg/vm/memory.max", limit);
}

static void assert_room(uint64_t vmas, bool is_cgroups)
{
	room_look(&core, target, MAX_MAP_COUNT);
	assert_int_equal(target->vma_room, vmas);
	assert_int_equal(room_is_cgroups(target), is_cgroups);
}

static void test_room_is_what_max_map_count_leaves(void **state)
{
	(void)state;
	fake_root_write(&fake, "/cg/vm/memory.max", "max\n");
	assert_room(MAPPINGS_ROOM, false);
	target->guest.smaps.count = 100;
	assert_room(MAPPINGS_ROOM - 100, false);
	target->guest.smaps.count = MAPPINGS_ROOM + 1;
	assert_room(0, false);
	target->guest.smaps.count = 0;
}

static void test_room_is_what_the_cgroup_leaves_but_for_a_reserve(void **state)
{
	(void)state;
	leave(1024 * MIB);
	assert_room(MAPPINGS_ROOM, false);
	leave(3 * MIB);
	assert_room(2048, true);
	assert_int_equal(target->cgroup_room_bytes, 3 * MIB);
	leave(MIB + 1023);
	assert_room(0, true);
	leave(0);
	assert_room(0, true);
}

/* To look would cost something, and nothing is done in it. */
static void test_room_of_a_cgroup_is_looked_at_where_something_may_be_done(void **state)
{
	(void)state;
	leave(0);
	target->policy.mode = MODE_OBSERVE;
	assert_room(MAPPINGS_ROOM, false);
	target->guest.map.extents[0].marked = true;
	assert_room(0, true);
}

static void test_room_of_a_cgroup_out_of_sight_is_no_limit(void **state)
{
	char reason[HOOK_REASON_BYTES];

	(void)state;
	leave(0);
	fake_root_write(&fake, "/proc/4711/cgroup", "0::/../elsewhere\n");
	assert_room(MAPPINGS_ROOM, false);
	assert_int_equal(room_for_ring(&core, target, reason), 0);
}

static void test_room_for_a_ring_is_asked_of_the_cgroup(void **state)
{
	char reason[HOOK_REASON_BYTES];

	(void)state;
	leave(512 * KIB);
	assert_int_equal(room_for_ring(&core, target, reason), 0);
	leave(512 * KIB - 1);
	assert_int_equal(room_for_ring(&core, target, reason), -ENOSPC);
	assert_non_null(strstr(reason, "memory cgroup has room for less than 512 KiB"));
}

/* Where marks may be made, a ring may. */
static void test_room_for_marks_is_room_for_a_ring(void **state)
{
	char reason[HOOK_REASON_BYTES];

	(void)state;
	leave(MIB + KIB);
	assert_room(1, true);
	assert_int_equal(room_for_ring(&core, target, reason), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_room_is_what_max_map_count_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_room_is_what_the_cgroup_leaves_but_for_a_reserve, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_room_of_a_cgroup_is_looked_at_where_something_may_be_done, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_room_of_a_cgroup_out_of_sight_is_no_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_room_for_a_ring_is_asked_of_the_cgroup, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_room_for_marks_is_room_for_a_ring, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
