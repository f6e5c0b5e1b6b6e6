// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/smaps.h"

#include <errno.h>
#include <sys/mman.h>

#include "common/clock.h"
#include "tests/unit/child.h"
#include "tests/unit/fake_root.h"

#define HEADER  "7f0000000000-7f0000200000 rw-p 00000000 00:00 0"
#define FLAGS   "VmFlags: rd wr mr mw me ac sd \n"
#define MINIMAL HEADER "\n" FLAGS
#define MIB(n)  ((size_t)(n) << 20)
#define KIB(n)  (UINT64_C(n) << 10)

static int parse(const char *text, struct smaps_list *ret)
{
	return smaps_parse(text, strlen(text), ret);
}

static void test_smaps_record_is_read_whole(void **state)
{
	static const char text[] = "7f12a4000000-7f12e4000000 rw-p 00000000 00:00 0 \n"
				   "Size:            1048576 kB\n"
				   "KernelPageSize:        4 kB\n"
				   "Rss:              204800 kB\n"
				   "Pss:              102400 kB\n"
				   "Pss_Dirty:        102399 kB\n"
				   "Shared_Clean:          0 kB\n"
				   "Anonymous:        204804 kB\n"
				   "KSM:                1024 kB\n"
				   "LazyFree:              0 kB\n"
				   "AnonHugePages:      2048 kB\n"
				   "Swap:                 16 kB\n"
				   "SwapPss:              15 kB\n"
				   "THPeligible:           1\n"
				   "ProtectionKey:         0\n"
				   "A-line-of-tomorrow: what ever\n"
				   "VmFlags: rd wr mr mw me dc ac hg mg um zz \n";
	struct smaps_list list;

	(void)state;
	assert_int_equal(parse(text, &list), 0);
	assert_int_equal(list.count, 1);
	assert_true(list.has_ksm);
	assert_int_equal(list.vmas[0].start, 0x7f12a4000000);
	assert_int_equal(list.vmas[0].end, 0x7f12e4000000);
	assert_true(list.vmas[0].readable && list.vmas[0].writable);
	assert_false(list.vmas[0].executable || list.vmas[0].shared || list.vmas[0].memfd);
	assert_int_equal(list.vmas[0].backing, VMA_ANONYMOUS);
	assert_int_equal(list.vmas[0].rss_bytes, KIB(204800));
	assert_int_equal(list.vmas[0].pss_bytes, KIB(102400));
	assert_int_equal(list.vmas[0].anonymous_bytes, KIB(204804));
	assert_int_equal(list.vmas[0].ksm_bytes, KIB(1024));
	assert_int_equal(list.vmas[0].anon_huge_bytes, KIB(2048));
	assert_int_equal(list.vmas[0].swap_bytes, KIB(16));
	assert_int_equal(
		list.vmas[0].flags, VMA_DONTCOPY | VMA_HUGEPAGE | VMA_MERGEABLE | VMA_UFFD);
	smaps_list_done(&list);
	assert_null(list.vmas);
}

static void test_smaps_name_tells_the_backing(void **state)
{
	static const struct {
		const char *header;
		enum vma_backing backing;
		bool memfd;
	} cases[] = {
		{ "00:00 0", VMA_ANONYMOUS, false },
		{ "00:00 0 ", VMA_ANONYMOUS, false },
		{ "00:00 0                  [heap]", VMA_ANONYMOUS, false },
		{ "00:00 0                  [anon:qemu ram]", VMA_ANONYMOUS, false },
		{ "00:00 0                  [stack]", VMA_SPECIAL, false },
		{ "00:00 0                  [vdso]", VMA_SPECIAL, false },
		{ "00:01 7  /memfd:ram (deleted)", VMA_FILE, true },
		{ "00:01 7  /tmp/memfd:ram", VMA_FILE, false },
		{ "fe:00 12 /usr/bin/qemu-system-x86_64", VMA_FILE, false },
		{ "00:01 0  /SYSV00000000 (deleted)", VMA_FILE, false },
		{ "00:0e 99 anon_inode:kvm-vcpu:0", VMA_FILE, false },
		{ "fe:00 12 /tmp/a\\012VmFlags: mg", VMA_FILE, false },
		{ "fe:00 12 /tmp/\xff\xfe [heap]", VMA_FILE, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct smaps_list list;
		char text[256];

		(void)snprintf(
			text, sizeof(text), "1000-2000 rwxs 0000abcd %s\n" FLAGS, cases[i].header);
		assert_int_equal(parse(text, &list), 0);
		assert_int_equal(list.count, 1);
		assert_int_equal(list.vmas[0].backing, cases[i].backing);
		assert_int_equal(list.vmas[0].memfd, cases[i].memfd);
		assert_int_equal(list.vmas[0].heap,
			list.vmas[0].backing == VMA_ANONYMOUS && strstr(text, "[heap]"));
		assert_int_equal(list.vmas[0].flags, 0);
		assert_true(list.vmas[0].shared && list.vmas[0].executable);
		assert_false(list.has_ksm);
		smaps_list_done(&list);
	}
}

static void test_smaps_every_flag_is_known(void **state)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} cases[] = {
		{ "mg", VMA_MERGEABLE },
		{ "hg", VMA_HUGEPAGE },
		{ "nh", VMA_NOHUGEPAGE },
		{ "ht", VMA_HUGETLB },
		{ "pf", VMA_PFNMAP },
		{ "io", VMA_IO },
		{ "um", VMA_UFFD },
		{ "uw", VMA_UFFD },
		{ "ui", VMA_UFFD },
		{ "mm", VMA_MIXEDMAP },
		{ "dc", VMA_DONTCOPY },
		{ "de", VMA_DONTEXPAND },
		{ "m", 0 },
		{ "mgx", 0 },
		{ "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct smaps_list list;
		char text[256];

		(void)snprintf(text, sizeof(text), HEADER "\nVmFlags: rd %s", cases[i].name);
		(void)strcat(text, "\n");
		assert_int_equal(parse(text, &list), 0);
		assert_int_equal(list.vmas[0].flags, cases[i].flag);
		smaps_list_done(&list);
	}
}

static void test_smaps_hostile_text_is_refused(void **state)
{
	static const char *const cases[] = {
		"\n",
		"Rss: 1 kB\n",
		FLAGS,
		HEADER,
		HEADER "\n",
		HEADER "\nRss:                  1 kB\n",
		HEADER "\nRss:                  1 kB\nVmFlags: rd",
		HEADER "\n" HEADER "\n" FLAGS,
		HEADER "\nRss: 18446744073709551615 kB\n" FLAGS,
		HEADER "\nRss: 18014398509481984 kB\n" FLAGS,
		HEADER "\nRss: 99999999999999999999999 kB\n" FLAGS,
		HEADER "\nRss: -1 kB\n" FLAGS,
		HEADER "\nRss: kB\n" FLAGS,
		HEADER "\nRss: 1\n" FLAGS,
		HEADER "\nRss: 1 MB\n" FLAGS,
		HEADER "\nRss:\n" FLAGS,
		"7f0000200000-7f0000000000 rw-p 0 00:00 0\n" FLAGS,
		"7f0000000000-7f0000000000 rw-p 0 00:00 0\n" FLAGS,
		"7f0000000001-7f0000200000 rw-p 0 00:00 0\n" FLAGS,
		"17f0000000000000-27f00000000000000 rw-p 0 00:00 0\n" FLAGS,
		"7f0000000000 7f0000200000 rw-p 0 00:00 0\n" FLAGS,
		"7f0000000000-7f0000200000 rw-\n" FLAGS,
		"7f0000000000-7f0000200000 rw-p0 00:00 0\n" FLAGS,
		"7f0000000000-7f0000200000 rw-p 0 0000 0\n" FLAGS,
		"7f0000000000-7f0000200000 rw-p 0 00:00 x\n" FLAGS,
		"7f0000000000-7f0000200000 rw-p 0 00:00 0x\n" FLAGS,
		"7f0000000000-7f0000200000 rw-p 0 00:00\n" FLAGS,
		"7f0000000000-7f0000200000 rw-p 0 00:00 99999999999999999999999\n" FLAGS,
		"a\n",
		"-\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct smaps_list list = { .count = 7 };

		assert_int_equal(parse(cases[i], &list), -EINVAL);
		assert_int_equal(list.count, 7);
	}
}

static void test_smaps_overlap_asks_to_read_again(void **state)
{
	struct smaps_list list;

	(void)state;
	assert_int_equal(parse(MINIMAL MINIMAL, &list), -ESTALE);
	assert_int_equal(
		parse("2000-4000 rw-p 0 00:00 0\n" FLAGS "1000-5000 rw-p 0 00:00 0\n" FLAGS, &list),
		-ESTALE);
}

static void test_smaps_of_nothing_is_empty(void **state)
{
	struct smaps_list list;

	(void)state;
	assert_int_equal(parse("", &list), 0);
	assert_int_equal(list.count, 0);
	smaps_list_done(&list);
}

struct own_memory {
	char *memory;
	size_t bytes;
};

static void map_and_write(void *argument, char step)
{
	const struct own_memory *const own = argument;

	(void)step;
	(void)munmap(own->memory, own->bytes);
	if (mmap(own->memory, own->bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != own->memory)
		_exit(1);
	(void)madvise(own->memory, own->bytes, MADV_NOHUGEPAGE);
	memset(own->memory, 1, own->bytes / 2);
}

/* Reserved here, so that the address is known; mapped anew in the child. */
static void reserve(struct own_memory *own, size_t bytes)
{
	own->bytes = bytes;
	own->memory = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(own->memory != MAP_FAILED);
}

static void test_smaps_rollup_says_what_a_process_costs(void **state)
{
	static const struct {
		const char *text;
		int error;
		uint64_t bytes;
	} cases[] = {
		{ "1000-2000 ---p 00000000 00:00 0 [rollup]\nRss: 9 kB\nPss:     17 kB\n"
		  "Pss_Dirty: 3 kB\n", 0, 17 << 10 },
		{ "Pss: 0 kB\n", 0, 0 },
		{ "", -EINVAL, 0 },
		{ "Pss: 17 kB", -EINVAL, 0 }, /* cut off */
		{ "Pss: kB\n", -EINVAL, 0 },
		{ "Pss: -1 kB\n", -EINVAL, 0 },
		{ "Pss: 17 MB\n", -EINVAL, 0 },
		{ "Pss: 99999999999999999999 kB\n", -EINVAL, 0 },
		{ "Pss_Anon: 17 kB\n", -EINVAL, 0 },
		{ "\n\n\n", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t bytes = 77;

		assert_int_equal(
			smaps_pss_parse(cases[i].text, strlen(cases[i].text), &bytes),
			cases[i].error);
		assert_int_equal(bytes, cases[i].error ? 77 : cases[i].bytes);
	}
}

static void test_smaps_of_a_real_process_shows_its_memory(void **state)
{
	struct own_memory own;
	struct smaps_list list;
	struct host_root root;
	struct child child;
	bool found = false;

	(void)state;
	assert_int_equal(host_root_open("", &root), 0);
	reserve(&own, MIB(8));
	child_start(&child, map_and_write, &own);
	assert_int_equal(smaps_read(&root, child.pid, &list), 0);
	for (size_t i = 0; i < list.count; i++) {
		const struct vma *const vma = &list.vmas[i];

		if (vma->start > (uint64_t)own.memory || vma->end <= (uint64_t)own.memory)
			continue;
		found = true;
		assert_int_equal(vma->backing, VMA_ANONYMOUS);
		assert_true(vma->flags & VMA_NOHUGEPAGE);
		assert_int_equal(vma->rss_bytes, MIB(4));
		assert_int_equal(vma->anonymous_bytes, MIB(4));
		assert_int_equal(vma->pss_bytes, MIB(4));
	}
	assert_true(found);
	smaps_list_done(&list);
	child_kill(&child);
	assert_int_equal(smaps_read(&root, child.pid, &list), -ESRCH);
	child_stop(&child);
	assert_int_equal(smaps_read(&root, child.pid, &list), -ESRCH);
	assert_int_equal(smaps_read(&root, 2, &list), -ESRCH); /* a kernel thread */
	(void)munmap(own.memory, own.bytes);
	host_root_done(&root);
}

/* 65,530 VMAs as a real kernel prints them: the pass over them is what a marked VM costs. */
static void test_smaps_of_a_full_address_space_is_read_fast(void **state)
{
	static const char record[] = "Size:               2048 kB\nKernelPageSize:        4 "
				     "kB\nMMUPageSize:           4 kB\n"
				     "Rss:                2048 kB\nPss:                1024 "
				     "kB\nPss_Dirty:          2048 kB\n"
				     "Shared_Clean:          0 kB\nShared_Dirty:          0 "
				     "kB\nPrivate_Clean:         0 kB\n"
				     "Private_Dirty:      2048 kB\nReferenced:         2048 "
				     "kB\nAnonymous:          2048 kB\n"
				     "KSM:                 512 kB\nLazyFree:              0 "
				     "kB\nAnonHugePages:         0 kB\n"
				     "ShmemPmdMapped:        0 kB\nFilePmdMapped:         0 "
				     "kB\nShared_Hugetlb:        0 kB\n"
				     "Private_Hugetlb:       0 kB\nSwap:                  0 "
				     "kB\nSwapPss:               0 kB\n"
				     "Locked:                0 kB\nTHPeligible:           0\n"
				     "VmFlags: rd wr mr mw me ac sd nh mg \n";
	const unsigned int count = 65530;
	char *const text = malloc(count * (sizeof(record) + 80));
	struct smaps_list list;
	uint64_t started;
	size_t length = 0;

	(void)state;
	assert_non_null(text);
	for (unsigned int i = 0; i < count; i++)
		length += (size_t)sprintf(text + length, "%lx-%lx rw-p 00000000 00:00 0 \n%s",
			(i + 1UL) << 21, (i + 2UL) << 21, record);
	started = clock_monotonic_ns();
	assert_int_equal(smaps_parse(text, length, &list), 0);
	print_message("%zu MiB of smaps in %llu ms\n", length >> 20,
		(unsigned long long)((clock_monotonic_ns() - started) / NS_PER_MS));
	assert_int_equal(list.count, count);
	assert_int_equal(list.vmas[count - 1].ksm_bytes, KIB(512));
	smaps_list_done(&list);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smaps_record_is_read_whole),
		cmocka_unit_test(test_smaps_name_tells_the_backing),
		cmocka_unit_test(test_smaps_every_flag_is_known),
		cmocka_unit_test(test_smaps_hostile_text_is_refused),
		cmocka_unit_test(test_smaps_overlap_asks_to_read_again),
		cmocka_unit_test(test_smaps_of_nothing_is_empty),
		cmocka_unit_test(test_smaps_rollup_says_what_a_process_costs),
		cmocka_unit_test(test_smaps_of_a_real_process_shows_its_memory),
		cmocka_unit_test(test_smaps_of_a_full_address_space_is_read_fast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
