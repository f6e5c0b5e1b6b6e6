// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/guest_ram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/cleanup.h"

#define KIB(n) (UINT64_C(n) << 10)
#define MIB(n) (UINT64_C(n) << 20)
#define BASE   UINT64_C(0x7f0000000000)

static const struct guest_ram_hints vm = { .is_vm = true };
static const struct guest_ram_hints plain = { .is_vm = false };

/* Private anonymous rw memory, at from up to to. */
static struct vma anonymous(uint64_t from, uint64_t to, uint32_t flags)
{
	return (struct vma){
		.start = BASE + from,
		.end = BASE + to,
		.readable = true,
		.writable = true,
		.backing = VMA_ANONYMOUS,
		.flags = flags,
	};
}

static void assert_ranges(const struct vma *vmas, size_t vma_count,
	const struct guest_ram_hints *hints, const struct ram_range *expected, size_t count)
{
	struct ram_range *ranges;
	size_t ret_count;

	assert_int_equal(guest_ram_map(vmas, vma_count, hints, &ranges, &ret_count), 0);
	assert_int_equal(ret_count, count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(ranges[i].start - BASE, expected[i].start);
		assert_int_equal(ranges[i].end - BASE, expected[i].end);
		assert_int_equal(ranges[i].verdict, expected[i].verdict);
	}
	free(ranges);
}

static void assert_one(const struct vma *vmas, size_t vma_count,
	const struct guest_ram_hints *hints, struct ram_range expected)
{
	assert_ranges(vmas, vma_count, hints, &expected, 1);
}

static void assert_none(
	const struct vma *vmas, size_t vma_count, const struct guest_ram_hints *hints)
{
	assert_ranges(vmas, vma_count, hints, NULL, 0);
}

static void test_guest_ram_of_no_mappings_is_none(void **state)
{
	(void)state;
	assert_none(NULL, 0, &vm);
	assert_none(NULL, 0, &plain);
}

static void test_guest_ram_advised_memory_counts_at_any_size(void **state)
{
	const uint32_t flags[] = { VMA_HUGEPAGE, VMA_MERGEABLE, VMA_HUGEPAGE | VMA_MERGEABLE };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		const struct vma vma = anonymous(0, KIB(256), flags[i]);

		assert_one(&vma, 1, &vm, (struct ram_range){ 0, KIB(256), RAM_MERGEABLE });
	}
}

static void test_guest_ram_unadvised_memory_counts_from_16_mib(void **state)
{
	const struct vma small = anonymous(0, MIB(16) - KIB(4), 0);
	const struct vma large = anonymous(0, MIB(16), 0);

	(void)state;
	assert_none(&small, 1, &vm);
	assert_one(&large, 1, &vm, (struct ram_range){ 0, MIB(16), RAM_MERGEABLE });
}

static void test_guest_ram_of_the_declared_size_counts(void **state)
{
	const struct guest_ram_hints tiny = { .is_vm = true, .ram_bytes = MIB(1) };
	const struct vma vmas[] = {
		anonymous(0, MIB(1), 0),
		anonymous(MIB(2), MIB(4), 0),
	};

	(void)state;
	assert_one(vmas, 2, &tiny, (struct ram_range){ 0, MIB(1), RAM_MERGEABLE });
}

static void test_guest_ram_split_by_marks_is_one_range(void **state)
{
	const struct vma vmas[] = {
		anonymous(0, MIB(2), VMA_HUGEPAGE),
		anonymous(MIB(2), MIB(4), VMA_MERGEABLE | VMA_NOHUGEPAGE),
		anonymous(MIB(4), MIB(6), 0),
		anonymous(MIB(6), MIB(8), VMA_NOHUGEPAGE),
	};

	(void)state;
	assert_one(vmas, 4, &vm, (struct ram_range){ 0, MIB(8), RAM_MERGEABLE });
}

static void test_guest_ram_is_not_joined_over_a_hole(void **state)
{
	const struct vma vmas[] = {
		anonymous(0, MIB(16), 0),
		anonymous(MIB(16) + KIB(4), MIB(40), 0),
	};
	const struct ram_range expected[] = {
		{ 0, MIB(16), RAM_MERGEABLE },
		{ MIB(16) + KIB(4), MIB(40), RAM_MERGEABLE },
	};

	(void)state;
	assert_ranges(vmas, 2, &vm, expected, 2);
}

static void test_guest_ram_ends_where_a_thread_stack_begins(void **state)
{
	const struct guest_ram_hints hints = { .is_vm = true, .ram_bytes = MIB(64) };
	const struct vma vmas[] = {
		anonymous(0, MIB(8), 0),
		anonymous(MIB(8), MIB(40), VMA_HUGEPAGE),
		anonymous(MIB(40), MIB(72), VMA_MERGEABLE | VMA_NOHUGEPAGE),
		anonymous(MIB(72), MIB(73), 0),
	};

	(void)state;
	assert_one(vmas, 4, &hints, (struct ram_range){ MIB(8), MIB(72), RAM_MERGEABLE });
}

static void test_guest_ram_beside_the_declared_is_judged_by_itself(void **state)
{
	const struct guest_ram_hints hints = { .is_vm = true, .ram_bytes = MIB(64) };
	const struct vma vmas[] = {
		anonymous(0, MIB(32), VMA_HUGEPAGE),
		anonymous(MIB(32), MIB(96), VMA_NOHUGEPAGE),
		anonymous(MIB(96), MIB(112), VMA_HUGEPAGE),
	};
	const struct ram_range expected[] = {
		{ 0, MIB(32), RAM_MERGEABLE },
		{ MIB(32), MIB(96), RAM_MERGEABLE },
		{ MIB(96), MIB(112), RAM_MERGEABLE },
	};

	(void)state;
	assert_ranges(vmas, 3, &hints, expected, 3);
}

static void test_guest_ram_executable_memory_is_a_translation_buffer(void **state)
{
	struct vma vma = anonymous(0, MIB(1024), VMA_HUGEPAGE);

	(void)state;
	vma.executable = true;
	assert_none(&vma, 1, &vm);
}

static void test_guest_ram_read_only_memory_is_none(void **state)
{
	struct vma vma = anonymous(0, MIB(64), VMA_HUGEPAGE);

	(void)state;
	vma.writable = false;
	assert_none(&vma, 1, &vm);
	assert_none(&vma, 1, &plain);
}

static void test_guest_ram_shared_memfd_is_ineligible(void **state)
{
	struct vma vma = anonymous(0, MIB(64), 0);

	(void)state;
	vma.backing = VMA_FILE;
	vma.shared = true;
	vma.memfd = true;
	assert_one(&vma, 1, &vm, (struct ram_range){ 0, MIB(64), RAM_SHARED });
	vma.end = vma.start + MIB(8); /* virtqueues, vhost logs, video memory */
	assert_none(&vma, 1, &vm);
	assert_none(&vma, 1, &plain);
}

static void test_guest_ram_hugetlb_is_ineligible_shared_or_not(void **state)
{
	struct vma vma = anonymous(0, MIB(64), VMA_HUGETLB);

	(void)state;
	vma.backing = VMA_FILE;
	assert_one(&vma, 1, &vm, (struct ram_range){ 0, MIB(64), RAM_HUGETLB });
	vma.shared = true;
	assert_one(&vma, 1, &vm, (struct ram_range){ 0, MIB(64), RAM_HUGETLB });
}

static void test_guest_ram_private_file_is_ineligible(void **state)
{
	struct vma vma = anonymous(0, MIB(64), VMA_HUGEPAGE);

	(void)state;
	vma.backing = VMA_FILE;
	assert_one(&vma, 1, &vm, (struct ram_range){ 0, MIB(64), RAM_FILE });
	assert_none(&vma, 1, &plain);
	vma.end = vma.start + MIB(8); /* a library's data */
	assert_none(&vma, 1, &vm);
}

static void test_guest_ram_is_never_in_the_heap(void **state)
{
	struct vma vma = anonymous(0, MIB(64), VMA_HUGEPAGE);

	(void)state;
	vma.heap = true;
	assert_none(&vma, 1, &vm);
	assert_one(&vma, 1, &plain, (struct ram_range){ 0, MIB(64), RAM_MERGEABLE });
}

static void test_guest_ram_small_block_is_cut_to_what_was_advised(void **state)
{
	const struct vma vmas[] = {
		anonymous(0, MIB(1), 0),
		anonymous(MIB(1), MIB(2), VMA_NOHUGEPAGE),
		anonymous(MIB(2), MIB(3), 0),
		anonymous(MIB(3), MIB(4), VMA_MERGEABLE),
		anonymous(MIB(4), MIB(5), 0),
	};

	(void)state;
	assert_one(vmas, 5, &vm, (struct ram_range){ MIB(1), MIB(4), RAM_MERGEABLE });
	assert_none(vmas, 3, &vm); /* nh alone: a thread's stack, or memory of a library */
}

static void test_guest_ram_of_devices_is_not_ram(void **state)
{
	const uint32_t flags[] = { VMA_PFNMAP, VMA_IO, VMA_MIXEDMAP, VMA_DONTEXPAND };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		const struct guest_ram_hints exact = { .is_vm = true, .ram_bytes = MIB(64) };
		struct vma vma = anonymous(0, MIB(64), flags[i]);

		vma.backing = VMA_FILE;
		vma.shared = true;
		assert_none(&vma, 1, &vm);
		assert_one(&vma, 1, &exact, (struct ram_range){ 0, MIB(64), RAM_DEVICE });
	}
}

static void test_guest_ram_of_a_special_vm_never_merges(void **state)
{
	static const struct {
		struct guest_ram_hints hints;
		uint32_t flags;
		enum ram_verdict verdict;
	} cases[] = {
		{ { .is_vm = true, .has_vfio = true }, 0, RAM_PINNED },
		{ { .is_vm = true, .confidential = true }, 0, RAM_CONFIDENTIAL },
		{ { .is_vm = true, .confidential = true, .has_vfio = true }, 0, RAM_CONFIDENTIAL },
		{ { .is_vm = true }, VMA_UFFD, RAM_UFFD },
		{ { .is_vm = true, .has_vfio = true }, VMA_UFFD, RAM_UFFD },
		{ { .is_vm = false, .has_vfio = true }, 0, RAM_PINNED },
		{ { .is_vm = false }, VMA_UFFD, RAM_UFFD },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct vma vma = anonymous(0, MIB(64), cases[i].flags);

		assert_one(&vma, 1, &cases[i].hints,
			(struct ram_range){ 0, MIB(64), cases[i].verdict });
	}
}

static void test_guest_ram_is_split_where_the_verdict_changes(void **state)
{
	const struct vma vmas[] = {
		anonymous(0, MIB(32), VMA_HUGEPAGE),
		anonymous(MIB(32), MIB(64), VMA_HUGEPAGE | VMA_UFFD),
	};
	const struct ram_range expected[] = {
		{ 0, MIB(32), RAM_MERGEABLE },
		{ MIB(32), MIB(64), RAM_UFFD },
	};

	(void)state;
	assert_ranges(vmas, 2, &vm, expected, 2);
}

static void test_process_memory_counts_from_64_kib_heap_included(void **state)
{
	struct vma vmas[] = {
		anonymous(0, KIB(60), 0),
		anonymous(MIB(1), MIB(1) + KIB(32), 0),
		anonymous(MIB(1) + KIB(32), MIB(1) + KIB(64), VMA_MERGEABLE),
		anonymous(MIB(2), MIB(3), 0),
		anonymous(MIB(4), MIB(12), 0),
		anonymous(MIB(13), MIB(14), 0),
	};
	const struct ram_range expected[] = {
		{ MIB(1), MIB(1) + KIB(64), RAM_MERGEABLE },
		{ MIB(2), MIB(3), RAM_MERGEABLE },
	};

	(void)state;
	vmas[4].backing = VMA_SPECIAL; /* [stack] */
	vmas[5].shared = true;
	assert_ranges(vmas, 6, &plain, expected, 2);
}

static void test_every_verdict_has_a_sentence(void **state)
{
	(void)state;
	for (int verdict = 0; verdict < RAM_VERDICT_COUNT; verdict++)
		assert_true(strlen(ram_verdict_text((enum ram_verdict)verdict)) > 10);
	assert_string_equal(ram_verdict_text(RAM_VERDICT_COUNT), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guest_ram_of_no_mappings_is_none),
		cmocka_unit_test(test_guest_ram_advised_memory_counts_at_any_size),
		cmocka_unit_test(test_guest_ram_unadvised_memory_counts_from_16_mib),
		cmocka_unit_test(test_guest_ram_of_the_declared_size_counts),
		cmocka_unit_test(test_guest_ram_split_by_marks_is_one_range),
		cmocka_unit_test(test_guest_ram_is_not_joined_over_a_hole),
		cmocka_unit_test(test_guest_ram_ends_where_a_thread_stack_begins),
		cmocka_unit_test(test_guest_ram_beside_the_declared_is_judged_by_itself),
		cmocka_unit_test(test_guest_ram_executable_memory_is_a_translation_buffer),
		cmocka_unit_test(test_guest_ram_read_only_memory_is_none),
		cmocka_unit_test(test_guest_ram_shared_memfd_is_ineligible),
		cmocka_unit_test(test_guest_ram_hugetlb_is_ineligible_shared_or_not),
		cmocka_unit_test(test_guest_ram_private_file_is_ineligible),
		cmocka_unit_test(test_guest_ram_is_never_in_the_heap),
		cmocka_unit_test(test_guest_ram_small_block_is_cut_to_what_was_advised),
		cmocka_unit_test(test_guest_ram_of_devices_is_not_ram),
		cmocka_unit_test(test_guest_ram_of_a_special_vm_never_merges),
		cmocka_unit_test(test_guest_ram_is_split_where_the_verdict_changes),
		cmocka_unit_test(test_process_memory_counts_from_64_kib_heap_included),
		cmocka_unit_test(test_every_verdict_has_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
