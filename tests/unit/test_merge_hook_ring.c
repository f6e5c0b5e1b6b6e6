// SPDX-License-Identifier: GPL-2.0-or-later
/* The ring hook on real forked children, believed only through their smaps. */
#include "tests/unit/ring_lab.h"

#include <poll.h>
#include <sys/stat.h>

static void test_marks_and_unmarks_exactly_the_range(void **state)
{
	struct lab *lab = *state;
	const uint64_t start = lab->memory + EXTENT;
	struct vma vma;

	attach_or_skip(lab);
	assert_int_equal(advise_one(lab, ADVICE_MERGEABLE, start, 2 * EXTENT), 0);
	vma = vma_at(lab, start);
	assert_true(vma.flags & VMA_MERGEABLE);
	assert_int_equal(vma.start, start);
	assert_int_equal(vma.end, start + 2 * EXTENT);
	assert_false(vma_at(lab, start - 4096).flags & VMA_MERGEABLE);
	assert_false(vma_at(lab, start + 2 * EXTENT).flags & VMA_MERGEABLE);

	assert_int_equal(advise_one(lab, ADVICE_UNMERGEABLE, start, 2 * EXTENT), 0);
	assert_false(vma_at(lab, start).flags & VMA_MERGEABLE);
}

static void test_huge_page_advice_arrives(void **state)
{
	struct lab *lab = *state;

	attach_or_skip(lab);
	assert_int_equal(advise_one(lab, ADVICE_HUGEPAGE, lab->memory, EXTENT), 0);
	assert_true(vma_at(lab, lab->memory).flags & VMA_HUGEPAGE);
	assert_int_equal(advise_one(lab, ADVICE_NOHUGEPAGE, lab->memory, EXTENT), 0);
	assert_true(vma_at(lab, lab->memory).flags & VMA_NOHUGEPAGE);
	assert_false(vma_at(lab, lab->memory).flags & VMA_HUGEPAGE);
}

static void collapse_or_skip(struct lab *lab)
{
	const int result = advise_one(lab, ADVICE_COLLAPSE, lab->memory, EXTENT);

	if (result == -EINVAL) {
		print_message("SKIP: this kernel has no MADV_COLLAPSE\n");
		skip();
	}
	if (result == -ENOMEM || result == -EAGAIN) {
		print_message("SKIP: no free huge page just now\n");
		skip();
	}
	assert_int_equal(result, 0);
}

static void test_collapse_makes_a_huge_page_and_cold_on_a_part_splits_it(void **state)
{
	struct lab *lab = *state;
	uint64_t huge_bytes;

	attach_or_skip(lab);
	collapse_or_skip(lab);
	huge_bytes = vma_at(lab, lab->memory).anon_huge_bytes;
	assert_true(huge_bytes >= EXTENT);
	assert_int_equal(advise_one(lab, ADVICE_COLD, lab->memory, 4096), 0);
	assert_int_equal(vma_at(lab, lab->memory).anon_huge_bytes, huge_bytes - EXTENT);
}

/* More requests than the ring has entries; each one's own answer, in the callers' order. */
static void test_many_requests_are_answered_one_by_one(void **state)
{
	enum { COUNT = 1000 };
	struct lab *lab = *state;
	static struct advice_request requests[COUNT];

	attach_or_skip(lab);
	for (size_t i = 0; i < COUNT; i++)
		requests[i] = (struct advice_request){
			.start = i % 10 == 9 ? 0x1000 : lab->memory + i % EXTENTS * EXTENT,
			.length = EXTENT,
			.advice = i % 2 ? ADVICE_NOHUGEPAGE : ADVICE_HUGEPAGE,
		};
	assert_int_equal(
		lab->hook->ops->advise(lab->hook, requests, COUNT, deadline_in(DEADLINE_NS)), 0);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(requests[i].ret_result, i % 10 == 9 ? -ENOMEM : 0);
	/* The last one for each extent won: they are carried out in order. */
	for (size_t i = 0; i < EXTENTS; i++)
		assert_true(vma_at(lab, lab->memory + i * EXTENT).flags &
			    (i % 2 ? VMA_NOHUGEPAGE : VMA_HUGEPAGE));
}

static void test_a_malformed_request_is_refused_and_the_rest_goes_on(void **state)
{
	struct lab *lab = *state;
	struct advice_request requests[] = {
		{ lab->memory + 1, EXTENT, ADVICE_MERGEABLE, 1 },
		{ lab->memory, 0, ADVICE_MERGEABLE, 1 },
		{ lab->memory, 100, ADVICE_MERGEABLE, 1 },
		{ UINT64_MAX - 4095, 8192, ADVICE_MERGEABLE, 1 },
		{ lab->memory, EXTENT, (enum advice)6, 1 },
		{ lab->memory, EXTENT, (enum advice) - 1, 1 },
		{ lab->memory, EXTENT, ADVICE_MERGEABLE, 1 },
		{ lab->memory, 1, ADVICE_MERGEABLE, 1 },
	};

	attach_or_skip(lab);
	assert_int_equal(lab->hook->ops->advise(lab->hook, requests, ARRAY_SIZE(requests),
				 deadline_in(DEADLINE_NS)),
		0);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		assert_int_equal(requests[i].ret_result, i == 6 ? 0 : -EINVAL);
	assert_true(vma_at(lab, lab->memory).flags & VMA_MERGEABLE);
	assert_int_equal(lab->hook->ops->advise(lab->hook, NULL, 0, 0), 0);
}

/* A length of 5 GiB must not become one of 1 GiB. */
static void test_a_range_beyond_32_bits_is_marked_whole(void **state)
{
	const uint64_t bytes = 5 * (UINT64_C(1) << 30);
	struct lab *lab = *state;
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	const uint64_t start = (uint64_t)(uintptr_t)memory;
	struct vma vma;

	assert_ptr_not_equal(memory, MAP_FAILED);
	/* A second child, which has that mapping. */
	(void)kill(lab->child.id.pid, SIGKILL);
	(void)waitpid(lab->child.id.pid, NULL, 0);
	process_done(&lab->child);
	assert_int_equal(process_open(&lab->root, child_start(start, 4096), &lab->child), 0);

	attach_or_skip(lab);
	assert_int_equal(advise_one(lab, ADVICE_MERGEABLE, start, bytes), 0);
	vma = vma_at(lab, start + bytes - 4096);
	assert_true(vma.flags & VMA_MERGEABLE);
	assert_true(vma.start <= start);
	assert_true(vma.end >= start + bytes);
	assert_int_equal(munmap(memory, bytes), 0);
}

static void test_a_process_that_ended_is_esrch(void **state)
{
	struct lab *lab = *state;
	struct advice_request request = { lab->memory, EXTENT, ADVICE_MERGEABLE, 1 };
	uint64_t cpu_ns;

	attach_or_skip(lab);
	(void)kill(lab->child.id.pid, SIGKILL);
	(void)waitpid(lab->child.id.pid, NULL, 0);
	assert_int_equal(
		lab->hook->ops->advise(lab->hook, &request, 1, deadline_in(DEADLINE_NS)), -ESRCH);
	assert_int_equal(lab->hook->ops->cpu_ns(lab->hook, &cpu_ns), 0);
}

static void test_a_stopped_process_is_etimedout_and_lives_on(void **state)
{
	struct lab *lab = *state;
	struct advice_request request = { lab->memory, EXTENT, ADVICE_MERGEABLE, 1 };
	const uint64_t before_ns = clock_monotonic_ns();
	int status;

	attach_or_skip(lab);
	(void)kill(lab->child.id.pid, SIGSTOP);
	assert_int_equal(waitid(P_PID, (id_t)lab->child.id.pid, &(siginfo_t){ 0 }, WSTOPPED), 0);
	assert_int_equal(
		lab->hook->ops->advise(lab->hook, &request, 1, deadline_in(200 * NS_PER_MS)),
		-ETIMEDOUT);
	assert_int_equal(request.ret_result, -EINPROGRESS);
	assert_true(clock_monotonic_ns() - before_ns < 5 * NS_PER_S);
	lab->hook->ops->detach(lab->hook);
	lab->hook = NULL;
	(void)kill(lab->child.id.pid, SIGCONT);
	assert_int_equal(waitpid(lab->child.id.pid, &status, WNOHANG), 0);
	/* And it can be had again. */
	attach_or_skip(lab);
	assert_int_equal(advise_one(lab, ADVICE_MERGEABLE, lab->memory, EXTENT), 0);
}

static void test_cpu_time_is_counted_and_survives_the_worker(void **state)
{
	struct lab *lab = *state;
	uint64_t before_ns, after_ns, later_ns;

	attach_or_skip(lab);
	assert_true(lab->hook->ops->helper_cpu_ns(lab->hook) > 0);
	assert_true(lab->hook->ops->helper_cpu_ns(lab->hook) < NS_PER_S);
	assert_int_equal(lab->hook->ops->cpu_ns(lab->hook, &before_ns), 0);
	for (int i = 0; i < 200; i++)
		(void)advise_one(lab, i % 2 ? ADVICE_HUGEPAGE : ADVICE_NOHUGEPAGE, lab->memory,
			EXTENTS * EXTENT);
	assert_int_equal(lab->hook->ops->cpu_ns(lab->hook, &after_ns), 0);
	assert_true(after_ns > before_ns);
	assert_true(after_ns < 10 * NS_PER_S);
	(void)kill(lab->child.id.pid, SIGKILL);
	(void)waitpid(lab->child.id.pid, NULL, 0);
	assert_int_equal(lab->hook->ops->cpu_ns(lab->hook, &later_ns), 0);
	assert_true(later_ns >= after_ns);
}

/* With the hook gone nothing of it is left in the process: no descriptor, and soon no thread. */
static void test_detach_leaves_nothing_behind(void **state)
{
	struct lab *lab = *state;
	const uint64_t deadline_ns = deadline_in(DEADLINE_NS);
	struct stat task;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/task", lab->child.id.pid);
	attach_or_skip(lab);
	assert_int_equal(advise_one(lab, ADVICE_MERGEABLE, lab->memory, EXTENT), 0);
	assert_int_equal(stat(path, &task), 0);
	assert_true(task.st_nlink > 3); /* a directory a thread, and two more */
	lab->hook->ops->detach(lab->hook);
	lab->hook = NULL;
	do {
		(void)poll(NULL, 0, 5); /* the kernel ends its threads when it comes to it */
		assert_int_equal(stat(path, &task), 0);
	} while (task.st_nlink > 3 && clock_monotonic_ns() < deadline_ns);
	assert_int_equal(task.st_nlink, 3);
	merge_hook_ring.detach(NULL);
}

static void test_none_attaches_and_advises_nothing(void **state)
{
	struct lab *lab = *state;
	struct advice_request request = { lab->memory, EXTENT, ADVICE_MERGEABLE, 1 };
	char reason[HOOK_REASON_BYTES];
	struct merge_hook *hook;
	uint64_t cpu_ns = 1;

	assert_int_equal(merge_hook_none.attach(&lab->context, &lab->child, &hook, reason), 0);
	assert_int_equal(hook->ops->advise(hook, &request, 1, 0), 0);
	assert_int_equal(request.ret_result, -ENOTSUP);
	assert_int_equal(hook->ops->cpu_ns(hook, &cpu_ns), 0);
	assert_int_equal(cpu_ns, 0);
	assert_int_equal(hook->ops->helper_cpu_ns(hook), 0);
	assert_false(vma_at(lab, lab->memory).flags & VMA_MERGEABLE);
	hook->ops->detach(hook);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_LAB(test_marks_and_unmarks_exactly_the_range),
		IN_LAB(test_huge_page_advice_arrives),
		IN_LAB(test_collapse_makes_a_huge_page_and_cold_on_a_part_splits_it),
		IN_LAB(test_many_requests_are_answered_one_by_one),
		IN_LAB(test_a_malformed_request_is_refused_and_the_rest_goes_on),
		IN_LAB(test_a_range_beyond_32_bits_is_marked_whole),
		IN_LAB(test_a_process_that_ended_is_esrch),
		IN_LAB(test_a_stopped_process_is_etimedout_and_lives_on),
		IN_LAB(test_cpu_time_is_counted_and_survives_the_worker),
		IN_LAB(test_detach_leaves_nothing_behind),
		IN_LAB(test_none_attaches_and_advises_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
