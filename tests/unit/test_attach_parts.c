// SPDX-License-Identifier: GPL-2.0-or-later
/* The attach helper's parts that can be looked at without a target. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "hypervisor-glue/attach/arch.h"
#include "hypervisor-glue/attach/layout.h"
#include "hypervisor-glue/attach/proc_file.h"
#include "hypervisor-glue/attach/refusal.h"

#define STAT_TAIL " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21\n"

static void test_the_start_time_is_found_behind_any_name(void **state)
{
	static const char *const stats[] = {
		"1 (init)" STAT_TAIL,
		"1 (a b)" STAT_TAIL,
		"1 ())" STAT_TAIL,
		"1 () R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 1 20)" STAT_TAIL,
		"1 (new\nline)" STAT_TAIL,
	};
	unsigned long long ticks;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(stats); i++) {
		ticks = 0;
		assert_int_equal(proc_stat_start_ticks(stats[i], &ticks), 0);
		assert_int_equal(ticks, 4711);
	}
}

static void test_a_stat_that_is_none_is_refused(void **state)
{
	static const char *const stats[] = { "", "1", ")", "1 (x) S", "1 (x) S 1 2 3 x",
		"1 (x S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711", "1 (x)\n" };
	unsigned long long ticks = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(stats); i++)
		assert_int_equal(proc_stat_start_ticks(stats[i], &ticks), -EINVAL);
	assert_int_equal(ticks, 42);
}

static void test_a_field_is_the_rest_of_its_line(void **state)
{
	static const char text[] =
		"Name:\tTracerPid: 7\nState:\tS (sleeping)\nTracerPid:\t0\nEmpty:\n"
		"Last:\tend";
	char value[16];

	(void)state;
	assert_int_equal(proc_field(text, "TracerPid:", value, sizeof(value)), 0);
	assert_string_equal(value, "0");
	assert_int_equal(proc_field(text, "State:", value, sizeof(value)), 0);
	assert_string_equal(value, "S (sleeping)");
	assert_int_equal(proc_field(text, "State:", value, 3), 0);
	assert_string_equal(value, "S ");
	assert_int_equal(proc_field(text, "Empty:", value, sizeof(value)), 0);
	assert_string_equal(value, "");
	assert_int_equal(proc_field(text, "Last:", value, sizeof(value)), 0);
	assert_string_equal(value, "end");
	assert_int_equal(proc_field(text, "Absent:", value, sizeof(value)), -ENOENT);
	assert_int_equal(proc_field("", "Absent:", value, sizeof(value)), -ENOENT);
}

static void test_a_file_larger_than_the_buffer_is_cut(void **state)
{
	char text[8];

	(void)state;
	assert_int_equal(proc_file_read("/proc/self/status", text, sizeof(text)), 0);
	assert_int_equal(strlen(text), 7);
	assert_int_equal(proc_file_read("/nonexistent", text, sizeof(text)), -ENOENT);
}

static void test_memory_is_borrowed_only_where_it_is_free(void **state)
{
	const struct layout layout = { .stack_start = 0x10000, .stack_end = 0x20000 };
	const struct {
		uint64_t stack_pointer, expected;
	} cases[] = {
		{ 0x18000, 0x18000 - ARCH_RED_ZONE_BYTES - 128 },
		{ 0x18009, 0x18000 - ARCH_RED_ZONE_BYTES - 128 }, /* aligned */
		{ 0x20000, 0x20000 - ARCH_RED_ZONE_BYTES - 128 }, /* an empty stack */
		{ 0x10000 + ARCH_RED_ZONE_BYTES + 128, 0x10000 }, /* the last room there is */
		{ 0x10000 + ARCH_RED_ZONE_BYTES + 127, 0 },       /* none */
		{ 0x10001, 0 },
		{ 0x10000, 0x10000 }, /* a foreign stack, from here on */
		{ 0, 0x10000 },
		{ 50, 0x10000 },
		{ 0x20001, 0x10000 },
		{ UINT64_MAX, 0x10000 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(
			layout_scratch(&layout, cases[i].stack_pointer, 128), cases[i].expected);
}

/* Ourselves: the instruction lies in the vdso, the stack is where our variables are. */
static void test_our_own_layout_is_found(void **state)
{
	struct layout layout;

	(void)state;
	if (!arch_audit) {
		print_message("SKIP: the ring knows x86-64 only\n");
		skip();
	}
	assert_int_equal(layout_read(getpid(), &layout), 0);
	assert_in_range((uintptr_t)&layout, layout.stack_start, layout.stack_end);
	assert_memory_equal((const void *)(uintptr_t)layout.instruction, arch_call_instruction,
		arch_call_instruction_bytes);
	if (getauxval(AT_SYSINFO_EHDR))
		assert_in_range(layout.instruction, getauxval(AT_SYSINFO_EHDR),
			getauxval(AT_SYSINFO_EHDR) + 16384);
	assert_int_equal(layout_read(0, &layout), -ESRCH);
}

static void test_a_refusal_too_long_is_cut(void **state)
{
	struct refusal why;
	char name[400];

	(void)state;
	memset(name, 'x', sizeof(name));
	assert_int_equal(refuse(&why, -EPERM, "%.*s", (int)sizeof(name), name), -EPERM);
	assert_int_equal(strlen(why.text), sizeof(why.text) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_start_time_is_found_behind_any_name),
		cmocka_unit_test(test_a_stat_that_is_none_is_refused),
		cmocka_unit_test(test_a_field_is_the_rest_of_its_line),
		cmocka_unit_test(test_a_file_larger_than_the_buffer_is_cut),
		cmocka_unit_test(test_memory_is_borrowed_only_where_it_is_free),
		cmocka_unit_test(test_our_own_layout_is_found),
		cmocka_unit_test(test_a_refusal_too_long_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
