// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/ring_cpu.h"

#include "tests/unit/fake_root.h"

#define PID  100
#define POLL 101

static void thread_put(const struct fake_root *fake, int tid, const char *comm, const char *cpu)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", PID, tid);
	fake_root_write(fake, path, comm);
	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", PID, tid);
	fake_root_write(fake, path, cpu);
}

static void thread_take(const struct fake_root *fake, int tid)
{
	static const char *const names[] = { "/comm", "/schedstat", "" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[512];

		(void)snprintf(
			path, sizeof(path), "%s/proc/%d/task/%d%s", fake->path, PID, tid, names[i]);
		assert_int_equal(remove(path), 0);
	}
}

/* A process with a ring of its own (103) beside ours (101, worker 102). */
static void process_put(struct fake_root *fake, struct ring_cpu *cpu)
{
	fake_root_init(fake);
	thread_put(fake, PID, "qemu", "9000000 1 1\n");
	thread_put(fake, POLL, "iou-sqp-100", "1000 5 7\n");
	thread_put(fake, 102, "iou-wrk-101", "20000 5 7\n");
	thread_put(fake, 103, "iou-wrk-100", "300000 5 7\n");
	ring_cpu_init(cpu, PID, POLL);
}

static uint64_t total_now(struct ring_cpu *cpu, const struct fake_root *fake)
{
	ring_cpu_sample(cpu, &fake->root);
	return ring_cpu_total_ns(cpu);
}

static void test_only_threads_of_our_ring_count(void **state)
{
	struct fake_root fake;
	struct ring_cpu cpu;

	(void)state;
	process_put(&fake, &cpu);
	assert_int_equal(ring_cpu_total_ns(&cpu), 0);
	assert_int_equal(total_now(&cpu, &fake), 21000);
	thread_put(&fake, 102, "iou-wrk-101", "25000 5 7\n");
	assert_int_equal(total_now(&cpu, &fake), 26000);
	fake_root_done(&fake);
}

static void test_a_worker_that_ended_stays_counted(void **state)
{
	struct fake_root fake;
	struct ring_cpu cpu;

	(void)state;
	process_put(&fake, &cpu);
	assert_int_equal(total_now(&cpu, &fake), 21000);
	thread_take(&fake, 102);
	assert_int_equal(total_now(&cpu, &fake), 21000);
	thread_put(&fake, 110, "iou-wrk-101", "500 5 7\n");
	assert_int_equal(total_now(&cpu, &fake), 21500);
	/* Another one under the same number, which has done less. */
	thread_put(&fake, 110, "iou-wrk-101", "100 5 7\n");
	assert_int_equal(total_now(&cpu, &fake), 21600);
	/* And the number in other hands altogether. */
	thread_put(&fake, 110, "CPU 0/KVM", "99999999 5 7\n");
	assert_int_equal(total_now(&cpu, &fake), 21600);
	fake_root_done(&fake);
}

static void test_a_process_that_ended_keeps_what_was_seen(void **state)
{
	struct fake_root fake;
	struct ring_cpu cpu;

	(void)state;
	process_put(&fake, &cpu);
	assert_int_equal(total_now(&cpu, &fake), 21000);
	cpu.pid = PID + 1;
	assert_int_equal(total_now(&cpu, &fake), 21000);
	assert_int_equal(total_now(&cpu, &fake), 21000);
	fake_root_done(&fake);
}

static void test_malformed_files_count_nothing(void **state)
{
	static const char *const texts[] = { "", "\n", "x", "-", " ", "nan 1 2" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct fake_root fake;
		struct ring_cpu cpu;

		fake_root_init(&fake);
		thread_put(&fake, POLL, "iou-sqp-100", texts[i]);
		thread_put(&fake, 102, "iou-wrk-101", texts[i]);
		thread_put(&fake, 103, texts[i], "7 7 7");
		ring_cpu_init(&cpu, PID, POLL);
		assert_int_equal(total_now(&cpu, &fake), 0);
		fake_root_done(&fake);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_threads_of_our_ring_count),
		cmocka_unit_test(test_a_worker_that_ended_stays_counted),
		cmocka_unit_test(test_a_process_that_ended_keeps_what_was_seen),
		cmocka_unit_test(test_malformed_files_count_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
