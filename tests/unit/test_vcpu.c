// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/vcpu.h"

#include <errno.h>

#include "hypervisor-glue/process.h"
#include "tests/unit/fake_root.h"

#define PID 100

/* proc_pid_stat(5): fields 14 and 15 are the thread's CPU time, 43 is the time inside a guest. */
static void stat_put(const struct fake_root *fake, const char *path, const char *comm,
	unsigned ticks, const char *from_guest_time)
{
	char text[512];

	(void)snprintf(text, sizeof(text),
		"100 (%s) S 1 1 1 0 -1 0 0 0 0 0 %u 0 0 0 20 0 4 0 1226082 755654656 64900 1 2 3 4 "
		"5 6 "
		"0 268444224 4096 16451 0 0 0 17 0 0 0 0%s",
		comm, ticks, from_guest_time);
	fake_root_write(fake, path, text);
}

static void thread_put(const struct fake_root *fake, int tid, const char *comm, unsigned ticks)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", PID, tid);
	stat_put(fake, path, comm, ticks, " 0 0\n");
}

static enum vcpu_past past_of(const struct fake_root *fake)
{
	enum vcpu_past past = (enum vcpu_past)77;

	assert_int_equal(vcpu_past_read(&fake->root, PID, &past), 0);
	return past;
}

static void test_time_inside_the_guest_says_that_it_has_run(void **state)
{
	static const struct {
		const char *from_guest_time;
		enum vcpu_past past;
	} cases[] = {
		{ " 1 0 1 2 3\n", VCPU_PAST_RUN },
		{ " 0 7 1 2 3\n", VCPU_PAST_UNKNOWN }, /* 44 is its children's */
		{ " x 0\n", VCPU_PAST_UNKNOWN },
		{ "\n", VCPU_PAST_UNKNOWN },
	};
	struct fake_root fake;

	(void)state;
	fake_root_init(&fake);
	thread_put(&fake, PID, "qemu-system-x86", 5000);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		stat_put(&fake, "/proc/100/stat", "qemu (x86) CPU 0/KVM", 5000,
			cases[i].from_guest_time);
		assert_int_equal(past_of(&fake), cases[i].past);
	}
	fake_root_done(&fake);
}

static void test_threads_are_told_by_their_names(void **state)
{
	static const struct {
		const char *comm;
		unsigned ticks;
		enum vcpu_past past;
	} cases[] = {
		{ "qemu-system-x86", 5000, VCPU_PAST_UNKNOWN },
		{ "multifdrecv_0", 5000, VCPU_PAST_UNKNOWN },
		{ "CPU", 5000, VCPU_PAST_UNKNOWN },
		{ "CPU 0/TCG", 0, VCPU_PAST_IDLE },
		{ "CPU 0/TCG", 1, VCPU_PAST_IDLE },
		{ "CPU 0/TCG", 5000, VCPU_PAST_RUN },
		{ "ALL CPUs/TCG", 5000, VCPU_PAST_RUN },
		{ "CPU 12/KVM", 5000, VCPU_PAST_RUN },
	};
	struct fake_root fake;

	(void)state;
	fake_root_init(&fake);
	stat_put(&fake, "/proc/100/stat", "qemu-system-x86", 9999, " 0 0\n");
	thread_put(&fake, PID, "qemu-system-x86", 9999);
	fake_root_write(&fake, "/proc/100/task/103/stat", "no stat at all");
	fake_root_write(&fake, "/proc/100/task/x/stat", "100 (CPU 0/TCG) S 1");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		thread_put(&fake, 102, cases[i].comm, cases[i].ticks);
		assert_int_equal(past_of(&fake), cases[i].past);
	}
	/* One of many is enough. */
	thread_put(&fake, 102, "CPU 0/KVM", 0);
	thread_put(&fake, 104, "CPU 1/KVM", 5000);
	thread_put(&fake, 105, "CPU 2/KVM", 0);
	assert_int_equal(past_of(&fake), VCPU_PAST_RUN);
	fake_root_done(&fake);
}

static void test_a_process_that_is_gone_is_said_to_be(void **state)
{
	enum vcpu_past past = (enum vcpu_past)77;
	struct fake_root fake;

	(void)state;
	fake_root_init(&fake);
	assert_int_equal(vcpu_past_read(&fake.root, PID, &past), -ESRCH);
	assert_int_equal(past, 77);
	fake_root_done(&fake);
}

static void test_fields_are_counted_as_the_manual_does(void **state)
{
	static const char text[] = "7 (a) b) c) S 4 5 6 18446744073709551615 -8 nine\n";
	static const struct {
		int field, error;
		uint64_t value;
	} cases[] = {
		{ 4, 0, 4 },
		{ 6, 0, 6 },
		{ 7, 0, UINT64_MAX },
		{ 8, -EINVAL, 0 },
		{ 9, -EINVAL, 0 },
		{ 10, -EINVAL, 0 },
		{ 3, -EINVAL, 0 },
		{ -1, -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t value = 0;

		assert_int_equal(process_stat_field(text, cases[i].field, &value), cases[i].error);
		assert_int_equal(value, cases[i].value);
	}
	assert_int_equal(process_stat_field("7 (a S 4 5", 4, &(uint64_t){ 0 }), -EINVAL);
	assert_int_equal(process_stat_field("", 4, &(uint64_t){ 0 }), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_time_inside_the_guest_says_that_it_has_run),
		cmocka_unit_test(test_threads_are_told_by_their_names),
		cmocka_unit_test(test_a_process_that_is_gone_is_said_to_be),
		cmocka_unit_test(test_fields_are_counted_as_the_manual_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
