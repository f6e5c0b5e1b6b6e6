// SPDX-License-Identifier: GPL-2.0-or-later
/* The twin index where guests are hostile, memory is scarce or the host is very large. */
#include "hashing/twin_index.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/twin_reference.h"

/* Fingerprints as a guest would choose them that knows how the index is built, but not its number.
 */
static uint64_t hostile_print(unsigned kind, uint64_t page)
{
	switch (kind) {
	case 0: /* one content everywhere */
		return 7;
	case 1: /* the same top bits */
		return UINT64_C(0xabcd00000000) | page / 2;
	case 2: /* the same low bits */
		return (page / 3 << 30 | 0x1234567) & PRINT_MASK;
	case 3: /* a few contents in very many pages, among unique ones */
		return page % 3 ? page % 5 : page << 20 & PRINT_MASK;
	case 4: /* most pages one content, all others next to it */
		return page % 64 ? PRINT_MASK : PRINT_MASK - page;
	default: /* powers of two, and zero: fixed point of every multiplication */
		return page % 49 ? UINT64_C(1) << (page % 49 - 1) : 0;
	}
}

static void test_hostile_contents_are_counted_exactly_too(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 6; kind++) {
		_cleanup_(fleet_done) struct fleet fleet = { 0 };

		for (size_t i = 0; i < 3; i++) {
			struct twin_owner *owner = fleet_add_owner(&fleet, 4);

			for (size_t page = 0; page < 4 * EXTENT_PAGES; page++)
				fleet_put(owner, page, PAGE_SINGLE,
					hostile_print(kind, page * 3 + i));
		}
		assert_counts_as_reference(&fleet, false, 1);
		exclude_at_random(&fleet);
		assert_counts_as_reference(&fleet, true, 1);
	}
}

static void test_page_numbers_beyond_1_tib_widen_the_first_digit(void **state)
{
	const size_t extent_count = 1 << 20; /* 2 TiB, nearly all of them the same empty one */
	_cleanup_free_ struct extent_prints **extents = malloc(extent_count * sizeof(*extents));
	static struct extent_prints empty, real[3];
	struct twin_owner owner = { .extents = extents, .extent_count = extent_count };

	(void)state;
	assert_non_null(extents);
	for (size_t i = 0; i < extent_count; i++)
		extents[i] = &empty;
	extents[0] = &real[0];
	extents[extent_count / 2 + 1] = &real[1];
	extents[extent_count - 1] = &real[2];
	for (unsigned page = 0; page < 3 * EXTENT_PAGES; page++) {
		extent_prints_set_state(
			&real[page / EXTENT_PAGES], page % EXTENT_PAGES, PAGE_SINGLE);
		extent_prints_set(&real[page / EXTENT_PAGES], page % EXTENT_PAGES,
			page % 512 < 400 ? 5 : page);
	}
	for (size_t i = 0; i < 2; i++) {
		const struct twin_index_options options = { .partition_bytes = i ? 0 : 4096 };
		struct twin_sums total;

		assert_int_equal(twin_index_count(&owner, 1, &options, &total), 0);
		assert_sums_equal(
			&total, &(struct twin_sums){ 3 * 512, 0, 1200, 1, 1199 * 4096, 0 });
		assert_int_equal(extent_prints_state(&real[2], 399), PAGE_TWIN);
		assert_int_equal(extent_prints_state(&real[2], 400), PAGE_SINGLE);
	}
}

#ifdef __SANITIZE_ADDRESS__
#define ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#define ADDRESS_SANITIZER __has_feature(address_sanitizer)
#else
#define ADDRESS_SANITIZER 0
#endif

/* Sets how much this process may map. Returns how much that was, 0 on failure. */
static rlim_t set_memory_limit(rlim_t bytes)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_AS, &limit) < 0)
		return 0;
	limit.rlim_cur = bytes;
	return setrlimit(RLIMIT_AS, &limit) == 0 ? bytes : 0;
}

/* From here on this process gets `room` bytes and no more: what the allocator has in stock, left
 * over from earlier tests, is used up. */
static bool leave_memory(size_t room)
{
	FILE *statm = fopen("/proc/self/statm", "re");
	static void **volatile stock; /* a list, so that no compiler finds it unused */
	unsigned long pages;
	rlim_t used;

	if (!statm || fscanf(statm, "%lu", &pages) != 1)
		return false;
	(void)fclose(statm);
	used = set_memory_limit(pages * (rlim_t)sysconf(_SC_PAGESIZE));
	for (void **item; (item = malloc(64)); stock = item)
		*item = (void *)stock;
	return used && set_memory_limit(used + room);
}

/* Returns what twin_index_count() does with so little memory; 1 if it failed and something was
 * changed all the same, 2 if the test could not be set up. */
static int count_with_little_memory(
	struct fleet *fleet, const struct twin_index_options *options, size_t room)
{
	const struct twin_owner *owner = &fleet->owners[0];
	uint8_t *before = copy_states(fleet);
	struct twin_sums total = { .pages = 4711 };
	int r;

	if (!leave_memory(room))
		return 2;
	r = twin_index_count(fleet->owners, fleet->owner_count, options, &total);
	if (r == 0)
		return 0;
	for (size_t page = 0; page < owner->extent_count * EXTENT_PAGES; page++)
		if (extent_prints_state(owner->extents[page / EXTENT_PAGES],
			    (unsigned)(page % EXTENT_PAGES)) != before[page])
			return 1;
	return total.pages == 4711 && owner->ret_sums.pages == 0 ? r : 1;
}

/* In a child, which is left without memory. */
static int count_in_child(
	struct fleet *fleet, const struct twin_index_options *options, size_t room)
{
	const pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0)
		_exit(abs(count_with_little_memory(fleet, options, room)));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_out_of_memory_changes_nothing_and_a_small_partition_is_kept_to(void **state)
{
	_cleanup_(fleet_done) struct fleet fleet = { 0 };
	const struct twin_index_options large = { 0 }, small = { .partition_bytes = 65536 };
	const size_t enough =
		512 << 10; /* small partition, 128 KiB of counters, 32 KiB of extents */
	struct twin_owner *owner;
	unsigned failures = 0;

	(void)state;
	if (ADDRESS_SANITIZER) {
		print_message("SKIP: address space cannot be limited under AddressSanitizer\n");
		skip();
	}
	owner = fleet_add_owner(&fleet, 2048);
	for (size_t page = 0; page < 2048 * EXTENT_PAGES; page++)
		fleet_put(owner, page, page % 5 ? PAGE_TWIN : PAGE_SINGLE,
			page % 2 ? 3 : page * UINT64_C(0x9e3779b97f4b) & PRINT_MASK);

	assert_int_equal(count_in_child(&fleet, &large, enough), ENOMEM);
	assert_int_equal(count_in_child(&fleet, &small, enough), 0);
	/* On the way there every allocation fails once. */
	for (size_t room = 0; room < enough; room += 16 << 10) {
		const int r = count_in_child(&fleet, &small, room);

		assert_true(r == 0 || r == ENOMEM);
		failures += r == ENOMEM;
	}
	assert_in_range(failures, 8, 31);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hostile_contents_are_counted_exactly_too),
		cmocka_unit_test(test_page_numbers_beyond_1_tib_widen_the_first_digit),
		cmocka_unit_test(
			test_out_of_memory_changes_nothing_and_a_small_partition_is_kept_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
