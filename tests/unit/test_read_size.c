// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/read_size.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* So long each time; but for the first times, and one time that was much quicker than that. */
static struct read_size tried(uint64_t piece_ns, uint64_t whole_ns)
{
	struct read_size size = { 0 };
	unsigned count = 0;

	for (; read_size_is_on_trial(&size); count++) {
		const bool whole = read_size_pages(&size) == READ_SIZE_MOST_PAGES;
		uint64_t ns = whole ? whole_ns : piece_ns;

		if (count == 1)
			ns += 1000;
		if (count == 10 || count == 21)
			ns /= 10;
		read_size_note(&size, ns);
	}
	assert_int_equal(count, 2 + 2 * READ_SIZE_PAIRS);
	return size;
}

static void test_read_size_tries_both_ways_by_turns(void **state)
{
	struct read_size size = { 0 };

	(void)state;
	assert_int_equal(read_size_pages(&size), READ_SIZE_PIECE_PAGES);
	assert_int_equal(read_size_pages(&size), READ_SIZE_PIECE_PAGES);
	read_size_note(&size, 1);
	assert_int_equal(read_size_pages(&size), READ_SIZE_MOST_PAGES);
	read_size_note(&size, 1);
	assert_int_equal(read_size_pages(&size), READ_SIZE_PIECE_PAGES);
}

static void test_read_size_stays_with_the_quicker_one(void **state)
{
	struct read_size size;

	(void)state;
	size = tried(300, 200);
	assert_int_equal(read_size_pages(&size), READ_SIZE_MOST_PAGES);
	size = tried(200, 300);
	assert_int_equal(read_size_pages(&size), READ_SIZE_PIECE_PAGES);
	/* Of two that are as quick the one that needs less of the caches. */
	size = tried(200, 200);
	assert_int_equal(read_size_pages(&size), READ_SIZE_PIECE_PAGES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_size_tries_both_ways_by_turns),
		cmocka_unit_test(test_read_size_stays_with_the_quicker_one),
	};

	return cmocka_run_group_tests_name("read_size", tests, NULL, NULL);
}
