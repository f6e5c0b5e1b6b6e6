// SPDX-License-Identifier: GPL-2.0-or-later
#include "hashing/page_fingerprint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

#define PAGE FINGERPRINT_PAGE_BYTES

static void fill(uint8_t *bytes, size_t count, uint32_t seed)
{
	for (size_t i = 0; i < count; i++) {
		seed = seed * 1664525u + 1013904223u;
		bytes[i] = (uint8_t)(seed >> 24);
	}
}

/* The streaming functions take another way through xxHash, without run-time dispatch. */
static uint64_t reference_fingerprint(const void *page)
{
	XXH3_state_t *state = XXH3_createState();
	uint64_t hash;

	assert_non_null(state);
	assert_int_equal(XXH3_64bits_reset(state), XXH_OK);
	assert_int_equal(XXH3_64bits_update(state, page, PAGE), XXH_OK);
	hash = XXH3_64bits_digest(state);
	XXH3_freeState(state);
	return hash & 0xffffffffffff;
}

static void test_fingerprint_is_the_low_six_bytes_of_xxh3(void **state)
{
	uint8_t page[PAGE] = { 0 };

	(void)state;
	assert_int_equal(page_fingerprint(page), reference_fingerprint(page));
	for (uint32_t seed = 1; seed < 100; seed++) {
		fill(page, sizeof(page), seed);
		assert_int_equal(page_fingerprint(page), reference_fingerprint(page));
	}
}

static void test_fingerprint_does_not_depend_on_alignment(void **state)
{
	static uint8_t room[PAGE + 64], page[PAGE];

	(void)state;
	fill(page, sizeof(page), 7);
	for (size_t offset = 0; offset < 64; offset++) {
		memcpy(room + offset, page, PAGE);
		assert_int_equal(page_fingerprint(room + offset), page_fingerprint(page));
	}
}

static void test_fingerprint_changes_with_every_single_bit(void **state)
{
	uint8_t page[PAGE];
	uint64_t before;

	(void)state;
	fill(page, sizeof(page), 3);
	before = page_fingerprint(page);
	for (size_t bit = 0; bit < PAGE * 8; bit++) {
		page[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(page_fingerprint(page), before);
		page[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(page_fingerprint(page), before);
}

static void test_page_with_one_byte_set_anywhere_is_not_zero(void **state)
{
	static uint8_t page[PAGE + 1];

	(void)state;
	assert_true(page_is_zero(page));
	assert_true(page_is_zero(page + 1));
	for (size_t i = 0; i < PAGE; i++) {
		page[i] = (uint8_t)(1u << i % 8);
		assert_false(page_is_zero(page));
		page[i] = 0;
	}
	page[PAGE] = 1;
	assert_true(page_is_zero(page));
	assert_false(page_is_zero(page + 1));
}

static void test_nothing_beyond_the_page_is_read(void **state)
{
	uint8_t *room = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *page = room + PAGE;

	(void)state;
	assert_ptr_not_equal(room, MAP_FAILED);
	assert_int_equal(mprotect(page, PAGE, PROT_READ | PROT_WRITE), 0);
	assert_true(page_is_zero(page));
	assert_int_equal(page_fingerprint(page), reference_fingerprint(page));
	assert_int_equal(munmap(room, 3 * PAGE), 0);
}

static void test_isa_is_one_of_the_known_names(void **state)
{
	static const char *const names[] = { "avx512", "avx2", "sse2", "neon", "scalar" };
	unsigned found = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		found += strcmp(page_fingerprint_isa(), names[i]) == 0;
	assert_int_equal(found, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fingerprint_is_the_low_six_bytes_of_xxh3),
		cmocka_unit_test(test_fingerprint_does_not_depend_on_alignment),
		cmocka_unit_test(test_fingerprint_changes_with_every_single_bit),
		cmocka_unit_test(test_page_with_one_byte_set_anywhere_is_not_zero),
		cmocka_unit_test(test_nothing_beyond_the_page_is_read),
		cmocka_unit_test(test_isa_is_one_of_the_known_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
