// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/guest.h"

#include <errno.h>

#include "tests/unit/fake_host.h"

#define EXTENTS 4

struct world {
	struct fake_root fake;
	struct reserved_memory memory;
	struct child child;
	struct guest guest;
	bool open;
};

static void child_memory(void *argument, char step)
{
	if (!step)
		(void)reserved_map(argument, 0, EXTENTS * RESERVED_EXTENT, MADV_HUGEPAGE);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	(void)alarm(60);
	fake_host_init(&world->fake);
	reserved_memory_init(&world->memory, EXTENTS * RESERVED_EXTENT);
	child_start(&world->child, child_memory, &world->memory);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	if (world->open)
		guest_done(&world->guest);
	child_stop(&world->child);
	reserved_memory_done(&world->memory);
	fake_root_done(&world->fake);
	free(world);
	(void)alarm(0);
	return 0;
}

static void open_guest(struct world *world)
{
	assert_int_equal(
		guest_open(&world->fake.root, world->child.pid, true, &world->guest), 0);
	world->open = true;
}

static void map(struct world *world, const struct fake_vma *vmas, size_t count)
{
	fake_host_map(&world->fake, world->child.pid, vmas, count);
	assert_int_equal(guest_map(&world->fake.root, &world->guest), 0);
}

static void test_guest_open_takes_a_vm_by_its_name(void **state)
{
	struct world *world = *state;

	fake_host_add_qemu(&world->fake, world->child.pid, "web1");
	open_guest(world);
	assert_true(world->guest.is_vm);
	assert_string_equal(world->guest.vmm.cmdline.name, "web1");
	assert_int_equal(world->guest.process.id.pid, world->child.pid);
	assert_int_equal(world->guest.map.count, 0);
}

static void test_guest_open_names_a_plain_process_by_its_comm(void **state)
{
	struct world *world = *state;

	fake_host_add_process(&world->fake, world->child.pid, "/usr/bin/jvm");
	open_guest(world);
	assert_false(world->guest.is_vm);
	assert_string_equal(world->guest.vmm.cmdline.name, "test_guest");
}

static void test_guest_open_of_nobody_is_refused(void **state)
{
	struct world *world = *state;
	struct guest guest;

	assert_int_equal(
		guest_open(&world->fake.root, world->child.pid, true, &guest), -ESRCH);
	fake_host_add_process(&world->fake, world->child.pid, "/usr/bin/jvm");
	child_kill(&world->child);
	assert_int_equal(
		guest_open(&world->fake.root, world->child.pid, true, &guest), -ESRCH);
	assert_int_equal(guest_open(&world->fake.root, -1, true, &guest), -ESRCH);
}

static void test_guest_map_sums_up_the_ram_by_verdict(void **state)
{
	struct world *world = *state;
	struct fake_vma vmas[] = {
		{ 0x100000, 0x200000, "rd wr mr mw me", NULL, 1000, 1000, 0 },
		fake_vma_of(&world->memory, 0, RESERVED_EXTENT, "rd wr mr mw me hg"),
		fake_vma_of(&world->memory, RESERVED_EXTENT, RESERVED_EXTENT,
			"rd wr mr mw me nh mg"),
		fake_vma_of(&world->memory, 3 * RESERVED_EXTENT, RESERVED_EXTENT,
			"rd wr mr mw me hg um"),
	};

	vmas[1].rss_kib = vmas[1].pss_kib = 2048;
	vmas[2].rss_kib = 2048;
	vmas[2].pss_kib = 1024;
	vmas[2].ksm_kib = 512;
	fake_host_add_qemu(&world->fake, world->child.pid, "web1");
	open_guest(world);
	map(world, vmas, ARRAY_SIZE(vmas));
	assert_int_equal(world->guest.map.count, 3);
	assert_true(world->guest.map.extents[2].watched);
	assert_int_equal(world->guest.ram_bytes, 3 * RESERVED_EXTENT);
	assert_int_equal(world->guest.verdict_bytes[RAM_MERGEABLE], 2 * RESERVED_EXTENT);
	assert_int_equal(world->guest.verdict_bytes[RAM_UFFD], RESERVED_EXTENT);
	assert_int_equal(world->guest.rss_bytes, 4096 << 10);
	assert_int_equal(world->guest.pss_bytes, 3072 << 10);
	assert_int_equal(world->guest.ksm_bytes, 512 << 10);
}

static void test_guest_is_watched_where_userfaultfd_has_its_marked_memory(void **state)
{
	struct world *world = *state;
	struct fake_vma vma =
		fake_vma_of(&world->memory, 0, RESERVED_EXTENT, "rd wr mr mw me nh mg uw");
	char path[64];

	fake_host_add_qemu(&world->fake, world->child.pid, "web1");
	open_guest(world);
	map(world, &vma, 1);
	assert_true(world->guest.map.extents[0].watched);
	/* Nobody who has not opened one registers anything with it. */
	assert_false(guest_is_watched(&world->fake.root, &world->guest));
	(void)snprintf(path, sizeof(path), "/proc/%d/fd/7", (int)world->child.pid);
	fake_root_link(&world->fake, path, "anon_inode:[userfaultfd]");
	assert_true(guest_is_watched(&world->fake.root, &world->guest));
	vma.flags = "rd wr mr mw me nh mg";
	map(world, &vma, 1);
	assert_false(guest_is_watched(&world->fake.root, &world->guest));
	vma.flags = "rd wr mr mw me hg um";
	map(world, &vma, 1);
	assert_false(guest_is_watched(&world->fake.root, &world->guest));
}

static void test_guest_map_again_keeps_what_is_known_and_forgets_what_is_gone(void **state)
{
	struct world *world = *state;
	struct fake_vma vma = fake_vma_of(
		&world->memory, 0, EXTENTS * RESERVED_EXTENT, "rd wr mr mw me hg");

	fake_host_add_qemu(&world->fake, world->child.pid, "web1");
	open_guest(world);
	map(world, &vma, 1);
	assert_int_equal(world->guest.map.count, EXTENTS);
	world->guest.map.extents[1].marked = true;
	world->guest.map.extents[3].marked = true;
	vma.end -= RESERVED_EXTENT;
	map(world, &vma, 1);
	assert_int_equal(world->guest.map.count, EXTENTS - 1);
	assert_true(world->guest.map.extents[1].marked);
	assert_int_equal(world->guest.ram_bytes, (EXTENTS - 1) * RESERVED_EXTENT);
}

static void test_guest_map_that_fails_changes_nothing(void **state)
{
	struct world *world = *state;
	const struct fake_vma vma = fake_vma_of(
		&world->memory, 0, EXTENTS * RESERVED_EXTENT, "rd wr mr mw me hg");

	fake_host_add_qemu(&world->fake, world->child.pid, "web1");
	open_guest(world);
	map(world, &vma, 1);
	fake_root_write(&world->fake, fake_host_path(world->child.pid, "smaps"), "hostile");
	assert_int_equal(guest_map(&world->fake.root, &world->guest), -EINVAL);
	assert_int_equal(world->guest.map.count, EXTENTS);
	assert_int_equal(world->guest.smaps.count, 1);
	fake_host_map(&world->fake, world->child.pid, &vma, 1);
	child_kill(&world->child);
	assert_int_equal(guest_map(&world->fake.root, &world->guest), -ESRCH);
	assert_int_equal(world->guest.map.count, EXTENTS);
}

static void test_guest_pss_is_that_of_a_process_that_lives(void **state)
{
	struct world *world = *state;
	uint64_t bytes = 77;

	fake_host_add_qemu(&world->fake, world->child.pid, "web1");
	open_guest(world);
	fake_root_write(&world->fake, fake_host_path(world->child.pid, "smaps_rollup"),
		"1000-2000 ---p 00000000 00:00 0    [rollup]\nRss: 64 kB\nPss: 32 kB\n");
	assert_int_equal(guest_pss_read(&world->fake.root, &world->guest, &bytes), 0);
	assert_int_equal(bytes, 32 << 10);
	child_kill(&world->child);
	assert_int_equal(guest_pss_read(&world->fake.root, &world->guest, &bytes), -ESRCH);
	assert_int_equal(bytes, 32 << 10);
}

static void test_guest_ineligible_text_says_how_much_and_why(void **state)
{
	struct guest guest = { .ram_bytes = UINT64_C(3) << 30 };
	char *text;

	(void)state;
	guest.verdict_bytes[RAM_MERGEABLE] = UINT64_C(3) << 30;
	assert_null(guest_ineligible_text(&guest));
	guest.verdict_bytes[RAM_SHARED] = UINT64_C(1) << 30;
	guest.verdict_bytes[RAM_HUGETLB] = UINT64_C(512) << 20;
	text = guest_ineligible_text(&guest);
	assert_non_null(text);
	assert_non_null(strstr(text, "1024 MiB of 3072 MiB: "));
	assert_non_null(strstr(text, ram_verdict_text(RAM_SHARED)));
	assert_non_null(strstr(text, "; 512 MiB of 3072 MiB: "));
	assert_non_null(strstr(text, ram_verdict_text(RAM_HUGETLB)));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define GUEST_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		GUEST_TEST(test_guest_open_takes_a_vm_by_its_name),
		GUEST_TEST(test_guest_open_names_a_plain_process_by_its_comm),
		GUEST_TEST(test_guest_open_of_nobody_is_refused),
		GUEST_TEST(test_guest_map_sums_up_the_ram_by_verdict),
		GUEST_TEST(test_guest_is_watched_where_userfaultfd_has_its_marked_memory),
		GUEST_TEST(test_guest_map_again_keeps_what_is_known_and_forgets_what_is_gone),
		GUEST_TEST(test_guest_map_that_fails_changes_nothing),
		GUEST_TEST(test_guest_pss_is_that_of_a_process_that_lives),
		GUEST_TEST(test_guest_ineligible_text_says_how_much_and_why),
	};

	return cmocka_run_group_tests_name("guest", tests, NULL, NULL);
}
