// SPDX-License-Identifier: GPL-2.0-or-later
#include "hashing/extent_prints.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/cleanup.h"

#define MANY 1000u

static void fill(struct extent_prints *prints, unsigned number)
{
	memset(prints, (int)(number % 251 + 1), sizeof(*prints));
}

static bool is_filled(const struct extent_prints *prints, unsigned number, int add)
{
	const uint8_t *bytes = (const uint8_t *)prints;

	for (size_t i = 0; i < sizeof(*prints); i++)
		if (bytes[i] != (uint8_t)((int)(number % 251 + 1) * add))
			return false;
	return true;
}

static void test_prints_are_blank_and_nobody_elses(void **state)
{
	struct extent_prints *prints[MANY];

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		prints[i] = extent_prints_new();
		assert_non_null(prints[i]);
		assert_true(is_filled(prints[i], i, 0));
		fill(prints[i], i);
	}
	/* In no order; what took their place is blank again, and the neighbours are as they were. */
	for (unsigned i = 0; i < MANY; i += 3)
		prints[i * 7 % MANY] = extent_prints_free(prints[i * 7 % MANY]);
	for (unsigned i = 0; i < MANY; i++) {
		if (prints[i])
			continue;
		prints[i] = extent_prints_new();
		assert_true(is_filled(prints[i], i, 0));
		fill(prints[i], i);
	}
	for (unsigned i = 0; i < MANY; i++) {
		assert_true(is_filled(prints[i], i, 1));
		assert_null(extent_prints_free(prints[i]));
	}
	assert_null(extent_prints_free(NULL));
}

static int by_address(const void *left, const void *right)
{
	const uintptr_t a = *(const uintptr_t *)left, b = *(const uintptr_t *)right;

	return a < b ? -1 : a > b;
}

static void test_prints_take_hardly_more_than_they_are(void **state)
{
	static uintptr_t prints[MANY * 10];
	size_t pages = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(prints); i++)
		prints[i] = (uintptr_t)extent_prints_new();
	qsort(prints, ARRAY_SIZE(prints), sizeof(prints[0]), by_address);
	for (size_t i = 0, last = 0; i < ARRAY_SIZE(prints); i++) {
		const uintptr_t end = (prints[i] + sizeof(struct extent_prints) - 1) / 4096;
		const uintptr_t first = prints[i] / 4096 > last ? prints[i] / 4096 : last + 1;

		pages += end + 1 - first;
		last = end;
	}
	assert_true(pages * 4096 < sizeof(struct extent_prints) * ARRAY_SIZE(prints) / 100 * 103);
	for (size_t i = 0; i < ARRAY_SIZE(prints); i++)
		extent_prints_free((struct extent_prints *)prints[i]);
}

static void *take_and_give_back(void *arg)
{
	const unsigned number = *(unsigned *)arg;
	struct extent_prints *prints[50] = { NULL };

	for (unsigned i = 0; i < 20000; i++) {
		struct extent_prints **slot = &prints[i * 7919 % ARRAY_SIZE(prints)];

		if (*slot && !is_filled(*slot, number, 1))
			return *slot;
		if (*slot) {
			*slot = extent_prints_free(*slot);
		} else {
			*slot = extent_prints_new();
			if (!*slot)
				return arg;
			fill(*slot, number);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(prints); i++)
		extent_prints_free(prints[i]);
	return NULL;
}

static void test_prints_of_several_threads_keep_apart(void **state)
{
	unsigned numbers[] = { 1, 2, 3, 4 };
	pthread_t threads[ARRAY_SIZE(numbers)];
	void *wrong;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, take_and_give_back, &numbers[i]), 0);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prints_are_blank_and_nobody_elses),
		cmocka_unit_test(test_prints_take_hardly_more_than_they_are),
		cmocka_unit_test(test_prints_of_several_threads_keep_apart),
	};

	return cmocka_run_group_tests_name("prints pool", tests, NULL, NULL);
}
